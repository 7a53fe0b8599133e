//! Where guests run: the engines, the linkers that are the ceilings, and the running of one call within its limits.
//!
//! Owns time and memory of guests. An in-flight call is never dropped: it is ended from inside, by host calls that answer
//! `timeout` and by the epoch, and then its store goes. Never decides what a call may do.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use medic_core::call::Target;
use medic_core::{Fault, FaultKind, ToolCategory};
use tokio::sync::{OwnedMutexGuard, Semaphore, SemaphorePermit};
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store, Trap, UpdateDeadline,
};

use crate::contract::tool::{CallContext, ErrorKind as ToolErrorKind, ToolError};
use crate::contract::{destructive, diagnostic, query, remediation};
use crate::grant::Profile;
use crate::limits::{
    ENDPOINT_TIMEOUT_MS, FATE_TIMEOUT_MS, HANDLES_MAX, INSTANCES_MAX, Limits, MEMORY_MAX, TABLE_ELEMENTS_MAX,
    TICK_MS,
};
use crate::meter::exceeded;
use crate::plugin::{Answer, Plugin, Request};
use crate::session::{Ended, Session};
use crate::text;

/// Threads for guests, apart from the daemon's own, so that a spinning tool delays tools and nobody else.
const THREADS: usize = 2;
/// Steps of niceness that guests are behind the daemon. 5: under load they get a third of its share, and never nothing.
const NICENESS: i32 = 5;
/// A call that is told to end has this long to do so.
const END_GRACE: Duration = Duration::from_secs(2);

pub struct Sandbox {
    runtime: Option<tokio::runtime::Runtime>,
    /// Pooled: queries come often and must start in microseconds.
    reading: Engine,
    /// Not pooled: what one change leaves in memory is never lent to the next instance.
    changing: Engine,
    linkers: HashMap<(ToolCategory, Profile), Linker<Session>>,
    queries: Semaphore,
    diagnostics: Semaphore,
    changes: Semaphore,
    targets: Mutex<HashMap<Target, Weak<tokio::sync::Mutex<()>>>>,
}

impl Sandbox {
    /// # Errors
    /// The machine gives no thread or no address space.
    pub fn new() -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("medic-tools")
            .on_thread_start(yield_to_the_daemon)
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start the threads for tools: {error}"))?;
        let engine = |pooled| {
            Engine::new(&config(pooled)).map_err(|error| format!("cannot make an engine: {error:#}"))
        };
        let (reading, changing) = (engine(true)?, engine(false)?);
        let mut linkers = HashMap::new();
        for category in crate::shape::CATEGORIES {
            for profile in [Profile::Pure, Profile::Wasi] {
                let engine = if category.changes_systems() { &changing } else { &reading };
                let linker = linker(engine, category, profile)
                    .map_err(|error| format!("cannot link the {category} functions: {error:#}"))?;
                linkers.insert((category, profile), linker);
            }
        }
        tick(&reading, &changing)?;
        let class = |category| Semaphore::new(Limits::concurrency(category).1);
        Ok(Self {
            runtime: Some(runtime),
            reading,
            changing,
            linkers,
            queries: class(ToolCategory::Query),
            diagnostics: class(ToolCategory::Diagnostic),
            changes: class(ToolCategory::Remediation),
            targets: Mutex::default(),
        })
    }

    pub fn engine(&self, category: ToolCategory) -> &Engine {
        if category.changes_systems() { &self.changing } else { &self.reading }
    }

    /// The linker of a category: it holds the functions of that category's world and no others.
    pub fn linker(&self, category: ToolCategory, profile: Profile) -> Option<Linker<Session>> {
        self.linkers.get(&(category, profile)).cloned()
    }

    fn handle(&self) -> Result<&tokio::runtime::Handle, Fault> {
        let stopped = || Fault::new(FaultKind::Internal, "SANDBOX_STOPPED", "the sandbox has been shut down");
        self.runtime.as_ref().map(tokio::runtime::Runtime::handle).ok_or_else(stopped)
    }

    /// Runs work that blocks on the sandbox's own threads.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let gone = |error| {
            Fault::new(FaultKind::Internal, "SANDBOX_PANIC", format!("work of the sandbox failed: {error}"))
        };
        self.handle()?.spawn_blocking(work).await.map_err(gone)
    }

    /// Runs a future to its end from one of the sandbox's blocking threads.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> Result<T, Fault> {
        Ok(self.handle()?.block_on(future))
    }

    /// One call of one export. The session comes back with what the call left in it, unless the guest had to be left
    /// behind.
    pub async fn run(
        &self,
        session: Session,
        context: CallContext,
        request: Request,
    ) -> (Result<Answer, Ended>, Option<Session>) {
        let plugin = session.plugin.clone();
        let limits = plugin.grant.limits.clone();
        let wall = Duration::from_millis(limits.wall_ms);
        let _slots = match self.slots(&plugin, wall).await {
            Ok(slots) => slots,
            Err(fault) => return (Err(Ended::Fault(fault)), Some(session)),
        };
        let cancelled = Arc::new(AtomicBool::new(false));
        let engine = self.engine(plugin.category).clone();
        let mut task = match self.handle() {
            Ok(handle) => handle.spawn(call(engine, session, context, request, cancelled.clone())),
            Err(fault) => return (Err(Ended::Fault(fault)), Some(session)),
        };
        // The call ends itself at its deadline; a change may still be asking after a lost answer then.
        let grace = match plugin.category.changes_systems() {
            true => END_GRACE + Duration::from_millis(2 * ENDPOINT_TIMEOUT_MS + 2 * FATE_TIMEOUT_MS),
            false => END_GRACE,
        };
        let mut ended = tokio::time::timeout(wall + grace, &mut task).await;
        if ended.is_err() {
            cancelled.store(true, Ordering::Relaxed);
            ended = tokio::time::timeout(END_GRACE, &mut task).await;
        }
        match ended {
            Ok(Ok((answer, session))) => (answer, Some(session)),
            Ok(Err(panic)) => {
                let message = format!("the sandbox panicked under {}: {panic}", plugin.name);
                (Err(Ended::Fault(Fault::new(FaultKind::Sandbox, "SANDBOX_PANIC", message))), None)
            }
            Err(_) => {
                tracing::error!(plugin = plugin.name, "a tool did not end when told to and was left behind");
                let used_ms = u64::try_from((wall + grace).as_millis()).unwrap_or(u64::MAX);
                let fault =
                    exceeded("SANDBOX_WALL", "milliseconds from start to end", used_ms, limits.wall_ms);
                (Err(Ended::Fault(fault)), None)
            }
        }
    }

    async fn slots<'a>(
        &'a self,
        plugin: &'a Plugin,
        wait: Duration,
    ) -> Result<(SemaphorePermit<'a>, SemaphorePermit<'a>), Fault> {
        let class = match plugin.category {
            ToolCategory::Query => &self.queries,
            ToolCategory::Diagnostic => &self.diagnostics,
            ToolCategory::Remediation | ToolCategory::Destructive => &self.changes,
        };
        let busy = || {
            let message = format!("{} had no free place for {} ms", plugin.name, wait.as_millis());
            Fault::new(FaultKind::Sandbox, "SANDBOX_BUSY", message)
        };
        let both = async { Ok((plugin.slots.acquire().await?, class.acquire().await?)) };
        let acquired: Result<Result<_, tokio::sync::AcquireError>, _> =
            tokio::time::timeout(wait, both).await;
        acquired.map_err(|_| busy())?.map_err(|_| busy())
    }

    /// One change at a time for one target.
    pub async fn lane(&self, target: &Target) -> OwnedMutexGuard<()> {
        let lane = {
            let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
            targets.retain(|_, lane| lane.strong_count() > 0);
            let lane = targets.get(target).and_then(Weak::upgrade).unwrap_or_default();
            targets.insert(target.clone(), Arc::downgrade(&lane));
            lane
        };
        lane.lock_owned().await
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Waiting for guests here could hang a shutdown; they have nothing of their own to finish.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An engine whose artefacts both engines of a sandbox take, and that reserves no room for instances.
pub fn compiling_engine() -> wasmtime::Result<Engine> {
    Engine::new(&config(false))
}

fn config(pooled: bool) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(512 * 1024)
        .async_stack_size(2 * 1024 * 1024)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_relaxed_simd(false)
        .concurrency_support(false);
    if pooled {
        let calls =
            [ToolCategory::Query, ToolCategory::Diagnostic].map(|category| Limits::concurrency(category).1);
        let calls = u32::try_from(calls.iter().sum::<usize>()).unwrap_or(u32::MAX);
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(calls)
            // A component is its module and the shims of its adapters.
            .total_core_instances(calls * 4)
            .total_memories(calls * 2)
            .total_tables(calls * 4)
            .total_stacks(calls)
            .max_core_instances_per_component(u32::try_from(INSTANCES_MAX).unwrap_or(u32::MAX))
            .max_memory_size(usize::try_from(MEMORY_MAX).unwrap_or(usize::MAX))
            .table_elements(TABLE_ELEMENTS_MAX);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    config
}

fn linker(engine: &Engine, category: ToolCategory, profile: Profile) -> wasmtime::Result<Linker<Session>> {
    let mut linker = Linker::new(engine);
    match category {
        ToolCategory::Query => {
            query::QueryTool::add_to_linker::<_, HasSelf<_>>(&mut linker, |session| session)?
        }
        ToolCategory::Diagnostic => {
            diagnostic::DiagnosticTool::add_to_linker::<_, HasSelf<_>>(&mut linker, |session| session)?;
        }
        ToolCategory::Remediation => {
            remediation::RemediationTool::add_to_linker::<_, HasSelf<_>>(&mut linker, |session| session)?;
        }
        ToolCategory::Destructive => {
            destructive::DestructiveTool::add_to_linker::<_, HasSelf<_>>(&mut linker, |session| session)?;
        }
    }
    if profile == Profile::Wasi {
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    }
    Ok(linker)
}

/// Puts the calling thread behind the daemon's own in the scheduler's eyes, so that a spinning guest delays no timer.
fn yield_to_the_daemon() {
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "threads for tools run at the daemon's own priority");
    }
}

/// Advances the epoch of both engines while either lives. On a thread of its own: a runtime whose threads all run guests
/// has nobody left to tick.
fn tick(reading: &Engine, changing: &Engine) -> Result<(), String> {
    let engines = [reading.weak(), changing.weak()];
    let ticker = move || {
        loop {
            std::thread::sleep(Duration::from_millis(TICK_MS));
            let alive = engines
                .iter()
                .filter_map(|engine| engine.upgrade())
                .map(|engine| engine.increment_epoch())
                .count();
            if alive == 0 {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("medic-epoch".to_owned())
        .spawn(ticker)
        .map(drop)
        .map_err(|error| format!("cannot start the epoch thread: {error}"))
}

async fn call(
    engine: Engine,
    session: Session,
    context: CallContext,
    request: Request,
    cancelled: Arc<AtomicBool>,
) -> (Result<Answer, Ended>, Session) {
    let plugin = session.plugin.clone();
    let fuel = usize::try_from(session.meter.limits().hostcall_fuel).unwrap_or(usize::MAX);
    let mut store = Store::new(&engine, session);
    store.limiter(|session| &mut session.memory);
    store.set_hostcall_fuel(fuel);
    store.set_max_component_handles(HANDLES_MAX);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |mut store| {
        let session = store.data_mut();
        if cancelled.load(Ordering::Relaxed) {
            let fault = session.meter.wall();
            return Err(session.end(Ended::Fault(fault)));
        }
        match session.meter.tick() {
            Ok(()) => Ok(UpdateDeadline::Yield(1)),
            Err(fault) => Err(session.end(Ended::Fault(fault))),
        }
    });
    let answer = plugin.guest.ask(&mut store, &context, request).await;
    let mut session = store.into_data();
    session.close();
    let answer = match answer {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Ended::Fault(tool_fault(&error))),
        Err(trap) => Err(why(&session, &trap)),
    };
    let answer = answer.map_err(|ended| with_calls(ended, &session));
    (answer, session)
}

/// Why a guest trapped: the host's own reason first, since it often caused the trap.
fn why(session: &Session, trap: &wasmtime::Error) -> Ended {
    if let Some(ended) = &session.ended {
        return ended.clone();
    }
    if let Some(refused) = session.memory.refused() {
        return Ended::Fault(refused.clone());
    }
    Ended::Fault(trap_fault(trap, session.meter.limits().hostcall_fuel))
}

/// A limit is easier to judge beside what the tool was busy with.
fn with_calls(ended: Ended, session: &Session) -> Ended {
    match ended {
        Ended::Fault(mut fault) if fault.kind == FaultKind::Sandbox => {
            fault.message = format!("{}; {}", fault.message, session.meter.top_host_calls());
            Ended::Fault(fault)
        }
        other => other,
    }
}

/// A trap in words an operator can use.
pub fn trap_fault(trap: &wasmtime::Error, hostcall_fuel: u64) -> Fault {
    let cause = trap.root_cause().to_string();
    if cause.contains("fuel allocated for hostcalls") {
        let message = format!("the tool handed the host more than {hostcall_fuel} bytes at once");
        return Fault::new(FaultKind::Sandbox, "SANDBOX_OUTPUT", message);
    }
    let what = match trap.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => cause,
    };
    Fault::new(FaultKind::Sandbox, "SANDBOX_TRAP", format!("the tool trapped: {}", text::line(&what, 512)))
}

fn tool_fault(error: &ToolError) -> Fault {
    let kind = match error.kind {
        ToolErrorKind::InvalidArgs => FaultKind::InvalidArguments,
        ToolErrorKind::Denied => FaultKind::Denied,
        ToolErrorKind::Upstream => FaultKind::Upstream,
        ToolErrorKind::Timeout => FaultKind::Timeout,
        ToolErrorKind::Precondition => FaultKind::Drift,
        ToolErrorKind::Internal => FaultKind::Internal,
    };
    // The code is the tool's; only its form is ours to hold it to.
    let form = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let code: String = error.code.chars().take(64).map(form).collect();
    let code = if code.is_empty() { "TOOL_ERROR".to_owned() } else { code };
    Fault::new(kind, code, text::plain(&error.message, 2048))
}
