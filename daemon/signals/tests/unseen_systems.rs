//! Header columns and templates of plain logs in styles that no rule names: lines made here after the published formats
//! of well-known systems, with values drawn from a seed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may be blunt")]

use medic_signals::logs::reader::{ReaderOptions, read_all};
use medic_signals::logs::record::LogRecord;
use medic_signals::logs::{Level, Miner};
use std::collections::{BTreeMap, BTreeSet};

/// A small linear congruential generator: the same numbers for ever.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }

    /// Fills each `#` with a number, `@` with eight hexadecimal digits, `%` with a length of time, `^` with an endpoint.
    fn fill(&mut self, form: &str) -> String {
        form.chars().fold(String::new(), |mut text, c| {
            match c {
                '#' => text.push_str(&self.below(30_000).to_string()),
                '%' => text.push_str(["00:17", "01:02:03", "<1 sec"][self.below(3) as usize]),
                '^' => text.push_str(
                    ["proxy.cse.cuhk.edu.hk:5070", "tools.google.com:443", "10.0.0.7:80", "www.sap.com:9"]
                        [self.below(4) as usize],
                ),
                '@' => text.push_str(&format!("{:08x}", self.below(1 << 32))),
                other => text.push(other),
            }
            text
        })
    }
}

/// What a style must come to: messages without their header, and as many templates as there are forms.
struct Style<'a> {
    header: &'a dyn Fn(&mut Seeded, usize) -> String,
    messages: &'a [&'a str],
    timed: bool,
    level: Option<Level>,
}

fn check(style: &Style) {
    let mut seeded = Seeded(7);
    let mut lines = String::new();
    let mut messages: Vec<(String, &str)> = Vec::new();
    for index in 0..400 {
        let header = (style.header)(&mut seeded, index);
        let form = seeded.one(style.messages);
        let message = seeded.fill(form);
        lines.push_str(&format!("{header}{message}\n"));
        messages.push((message, form));
    }
    let options = ReaderOptions { multiline: false, ..ReaderOptions::default() };
    let (records, _) = read_all(lines.as_bytes(), options);
    let mut wrong: BTreeMap<&str, (&LogRecord, usize)> = BTreeMap::new();
    for (record, (message, form)) in records.iter().zip(&messages) {
        if record.message != *message {
            wrong.entry(form).or_insert((record, 0)).1 += 1;
        }
    }
    let shown: Vec<String> = wrong
        .iter()
        .map(|(form, (record, count))| format!("{count} × {form}: {:?}", record.message))
        .collect();
    assert!(shown.is_empty(), "headers not found in {}\n{}", lines.lines().next().unwrap(), shown.join("\n"));
    if style.timed {
        assert!(records.iter().all(|record| record.at_ms.is_some()), "{:?}", records[0]);
    }
    assert_eq!(records[0].level, style.level, "{}", records[0].raw);
    let mut miner = Miner::default();
    let ids: Vec<_> = records.iter().map(|record| miner.learn(&record.message).id).collect();
    let mut groups: BTreeMap<&str, BTreeSet<_>> = BTreeMap::new();
    for (id, (_, form)) in ids.iter().zip(&messages) {
        groups.entry(form).or_default().insert(miner.resolve(*id));
    }
    let all: BTreeSet<_> = groups.values().flatten().copied().collect();
    let texts: Vec<String> =
        miner.templates().into_iter().map(|t| format!("{:4} {}", t.count, t.text)).collect();
    assert!(groups.values().all(|ids| ids.len() == 1) && all.len() == groups.len(), "{}", texts.join("\n"));
}

#[test]
fn a_supercomputer_with_nine_columns() {
    check(&Style {
        header: &|seeded, index| {
            let place = format!(
                "R{:02}-M{}-N{:X}-C:J{:02}-U{:02}",
                seeded.below(64),
                seeded.below(2),
                seeded.below(16),
                seeded.below(18),
                seeded.below(12)
            );
            let alert = seeded.one(&["-", "-", "-", "-", "-", "-", "APPREAD", "KERNDTLB"]);
            let second = index % 60;
            format!(
                "{alert} {} 2005.06.03 {place} 2005-06-03-15.42.{second:02}.675872 {place} RAS {} {} ",
                1_117_838_570 + index,
                seeded.one(&["KERNEL", "KERNEL", "APP", "DISCOVERY"]),
                "INFO"
            )
        },
        messages: &[
            "instruction cache parity error corrected",
            "generating core.#",
            "CE sym #, at 0x@, mask 0x05",
            "# double-hummer alignment exceptions",
            "ciod: failed to read message prefix on control stream (CioStream socket to 172.16.96.#:#)",
            "ciod: Error loading /home/spelce1/src/b_#/driver: invalid or missing program image, Exec format error",
            "data storage interrupt",
            "iar @ dear @",
            "total of # ddr error(s) detected and corrected",
        ],
        timed: true,
        level: Some(Level::Info),
    });
}

#[test]
fn a_cluster_with_an_epoch_in_the_fifth_column() {
    check(&Style {
        header: &|seeded, index| {
            let (component, state) = [
                ("unix.hw", "state_change.unavailable"),
                ("action", "start"),
                ("switch_module", "bcast-error"),
                ("boot_cmd", "new"),
            ][seeded.below(4) as usize];
            format!(
                "{} {} {component} {state} {} 1 ",
                100_000 + index * 7,
                seeded.fill("node-#"),
                1_077_804_742 + index
            )
        },
        messages: &[
            "Component State Change: Component \\042alt0\\042 is in the unavailable state (HWID=#)",
            "boot (command #)",
            "Link error on broadcast tree Interconnect-0T00:00:#:#",
            "ServerFileSystem: An ServerFileSystem domain panic has occurred on storage#",
            "PSU status ( on off )",
            "Targeting domains:node-D# and nodes:node-[#-#] child of command #",
        ],
        timed: true,
        level: None,
    });
}

#[test]
fn a_phone_app_with_bars_between_columns() {
    check(&Style {
        header: &|seeded, index| {
            format!(
                "20171223-22:{}:{}:{}|{}|30002312|",
                10 + index / 60,
                index % 60,
                seeded.below(999),
                seeded.one(&[
                    "Step_LSC",
                    "Step_SPUtils",
                    "Step_StandReportReceiver",
                    "Step_StandStepCounter",
                    "HiH_HiSyncUtil"
                ])
            )
        },
        messages: &[
            "onStandStepChanged #",
            "onExtend:1514038530000 # 0 4",
            "getTodayTotalDetailSteps = 1514038440000##6993##548365##8661##12266##27164404",
            "REPORT : # # # #",
            "calculateCaloriesWithCache totalCalories=#",
            "flush sensor data",
        ],
        timed: true,
        level: None,
    });
}

#[test]
fn a_workstation_that_writes_syslog() {
    check(&Style {
        header: &|seeded, index| {
            format!(
                "Jul  1 09:{:02}:{:02} calvisitor-10-105-160-95 {}[{}]: ",
                index / 60,
                index % 60,
                seeded.one(&["kernel", "com.apple.CDScheduler", "QQ", "corecaptured", "networkd"]),
                seeded.below(40_000)
            )
        },
        messages: &[
            "IOThunderboltSwitch<0>(0x0)::listenerCallback - Thunderbolt HPD packet for route = 0x0 port = # unplug = 0",
            "Thermal pressure state: # Memory pressure state: #",
            "FA||Url||taskID[2019352994] dealloc",
            "ARPT: #.#: wl0: setDISASSOCIATE: Disassociated",
            "en0: channel changed to #",
            "nw_nat64_post_new_ifstate successfully changed NAT64 ifstate from 0x4 to 0x@",
        ],
        timed: true,
        level: None,
    });
}

#[test]
fn a_cloud_that_names_its_file_first() {
    check(&Style {
        header: &|seeded, index| {
            let file =
                seeded.one(&["nova-api.log.1.2017-05-16_13:53:08", "nova-compute.log.1.2017-05-16_13:55:31"]);
            let component = seeded.one(&[
                "nova.osapi_compute.wsgi.server",
                "nova.compute.manager",
                "nova.virt.libvirt.driver",
                "nova.metadata.wsgi.server",
            ]);
            format!(
                "{file} 2017-05-16 00:{:02}:{:02}.008 {} INFO {component} [req-{}-2096-447d-96ea-a692162415ae {} 54fadb412c4e40cdbaed9335e4c35a9e - - -] ",
                index / 60,
                index % 60,
                2931 + seeded.below(2),
                seeded.fill("@"),
                seeded.fill("@@@@")
            )
        },
        messages: &[
            "10.11.10.1 \"GET /v2/54fadb412c4e40cdbaed9335e4c35a9e/servers/detail HTTP/1.1\" status: 200 len: # time: 0.#",
            "10.11.10.1 \"POST /v2/54fadb412c4e40cdbaed9335e4c35a9e/os-server-external-events HTTP/1.1\" status: 200 len: # time: 0.#",
            "10.11.10.1 \"DELETE /v2/54fadb412c4e40cdbaed9335e4c35a9e/servers/@-fe1a-409b-b8cc-1e88b294cd1d HTTP/1.1\" status: 204 len: # time: 0.#",
            "[instance: @-fe1a-409b-b8cc-1e88b294cd1d] VM Started (Lifecycle Event)",
            "[instance: @-fe1a-409b-b8cc-1e88b294cd1d] VM Paused (Lifecycle Event)",
            "[instance: @-fe1a-409b-b8cc-1e88b294cd1d] VM Resumed (Lifecycle Event)",
            "[instance: @-fe1a-409b-b8cc-1e88b294cd1d] Took #.# seconds to build instance.",
            "[instance: @-fe1a-409b-b8cc-1e88b294cd1d] Terminating instance",
            "image @-34c5-4fbb-86c4-40623fbe45b4 at (/var/lib/nova/instances/_base/@@@@@): checking",
        ],
        timed: true,
        level: Some(Level::Info),
    });
}

#[test]
fn a_proxy_that_sets_times_in_brackets_and_programs_before_a_dash() {
    check(&Style {
        header: &|seeded, index| {
            let program = seeded.one(&[
                "chrome.exe",
                "chrome.exe",
                "Dropbox.exe",
                "WeChat.exe",
                "YodaoDict.exe",
                "SogouCloud.exe",
                "chrome.exe *64",
                "GitHub.exe",
            ]);
            format!("[10.30 16:{:02}:{:02}] {program} - ", index / 60, index % 60)
        },
        messages: &[
            "^ open through proxy proxy.cse.cuhk.edu.hk:# HTTPS",
            "^ close, # bytes sent, # bytes received, lifetime %",
            "^ close, # bytes (1.2 KB) sent, # bytes received, lifetime %",
            "^ error : Could not connect through proxy proxy.cse.cuhk.edu.hk:# - Proxy server cannot establish a connection with the target, status code 403",
        ],
        timed: true,
        level: None,
    });
}

#[test]
fn a_cluster_that_puts_an_alert_and_two_dates_before_syslog() {
    check(&Style {
        header: &|seeded, index| {
            let host = seeded.one(&["dn228", "dn3", "tbird-admin1", "eadmin1", "cn142"]);
            let program = seeded.one(&[
                "crond(pam_unix)[2915]:",
                "kernel:",
                "sshd[31172]:",
                "ib_sm.x[24904]:",
                "dhcpd:",
                "postfix/postdrop[10896]:",
            ]);
            format!(
                "- {} 2005.11.09 {host} Nov 9 12:{:02}:{:02} {host}/{host} {program} ",
                1_131_566_461 + index,
                index / 60,
                index % 60
            )
        },
        messages: &[
            "session closed for user root",
            "session opened for user root by (uid=#)",
            "[ib_sm_sweep.c:#]: No topology change",
            "DHCPDISCOVER from 00:11:43:e3:ba:c3 via eth#",
            "warning: unable to look up public/pickup: No such file or directory",
            "data_thread() got not answer from any [Thunderbird_A#] datasource",
            "(root) CMD (run-parts /etc/cron.hourly)",
        ],
        timed: true,
        level: None,
    });
}

#[test]
fn a_desktop_with_padded_columns() {
    check(&Style {
        header: &|seeded, index| {
            format!(
                "2016-09-28 04:{:02}:{:02}, Info                  {}    ",
                10 + index / 60,
                index % 60,
                seeded.one(&["CBS", "CBS", "CSI"])
            )
        },
        messages: &[
            "Loaded Servicing Stack v6.1.7601.23505 with Core: C:\\Windows\\winsxs\\amd64_servicingstack_#\\cbscore.dll",
            "Starting TrustedInstaller initialization.",
            "SQM: Initializing online with Windows opt-in: False",
            "Warning: Unrecognized packageExtended attribute.",
            "Session: 30546174_# initialized by client WindowsUpdateAgent.",
            "00000@@2016/9/27:20:30:31.455 WcpInitialize (wcp.dll version 0.0.0.6) called (stack @0x7fed806eb5d @0x7fef9fb9b6d)",
            "Read out cached package applicability for package: Package_for_KB#~31bf3856ad364e35~amd64~~6.1.1.2, ApplicableState: #, CurrentState:#",
        ],
        timed: true,
        level: Some(Level::Info),
    });
}
