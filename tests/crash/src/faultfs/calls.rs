//! The calls themselves, as C knows them.
//!
//! Each stands in for the C library's function of its name in this program. It takes what that function takes, passes
//! to the kernel what that function would pass, and answers as it would (`-1` and `errno`). The lock is held from the
//! decision to the end of the call, so that the tape has the true order.
//!
//! `open` is variadic in C. On the Linux ABIs this is built for, x86-64 and AArch64, a variadic integer travels as a
//! named one does, so that a third parameter that was not passed is an unused register.

#![allow(
    unsafe_code,
    reason = "the C library's functions have raw pointers as arguments, and replacing them needs unmangled names"
)]

use super::{ARMED, Lie, Node, Op, State, Verdict, lock, short, take_time};
use libc::{c_char, c_int, c_void, iovec, mode_t, off64_t, size_t, ssize_t};
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

/// The state, when it is to be asked at all.
fn armed() -> Option<MutexGuard<'static, Option<State>>> {
    ARMED.load(Ordering::Relaxed).then(lock)
}

fn fail(errno: c_int) -> c_int {
    // SAFETY: the location of this thread's errno is always valid.
    unsafe { *libc::__errno_location() = errno };
    -1
}

/// The kernel's answer to a system call with up to four arguments.
fn system(call: libc::c_long, a: usize, b: usize, c: usize, d: usize) -> libc::c_long {
    // SAFETY: the callers pass the arguments that were passed to them, for the very call they stand in for.
    unsafe { libc::syscall(call, a, b, c, d) }
}

fn as_int(answer: libc::c_long) -> c_int {
    c_int::try_from(answer).unwrap_or(-1)
}

/// # Safety
/// `path` is a C string, as for the function that was called.
unsafe fn path_of(path: *const c_char) -> PathBuf {
    // SAFETY: promised by the caller.
    let path = unsafe { CStr::from_ptr(path) };
    Path::new(OsStr::from_bytes(path.to_bytes())).to_owned()
}

pub(super) fn kill_self() -> ! {
    // SAFETY: plain calls without pointers.
    unsafe {
        libc::kill(libc::getpid(), libc::SIGKILL);
        loop {
            libc::pause();
        }
    }
}

/// A file of our own, outside of what is watched.
pub(super) fn create_for_append(path: &Path) -> std::io::Result<c_int> {
    use std::os::fd::IntoRawFd as _;
    let file = std::fs::File::options().create(true).append(true).open(path)?;
    Ok(file.into_raw_fd())
}

pub(super) fn append(fd: c_int, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let written = system(libc::SYS_write, fd as usize, bytes.as_ptr() as usize, bytes.len(), 0);
        match usize::try_from(written) {
            Ok(written) if written > 0 => bytes = bytes.get(written..).unwrap_or_default(),
            // Without its tape a life proves nothing.
            _ => kill_self(),
        }
    }
}

fn raw_write(fd: c_int, data: &[u8], offset: Option<off64_t>) -> ssize_t {
    let (at, len) = (data.as_ptr() as usize, data.len());
    let written = match offset {
        None => system(libc::SYS_write, fd as usize, at, len, 0),
        Some(offset) => system(libc::SYS_pwrite64, fd as usize, at, len, offset as usize),
    };
    written as ssize_t
}

fn write_at(fd: c_int, data: &[u8], offset: Option<off64_t>) -> ssize_t {
    let Some(mut guard) = armed() else { return raw_write(fd, data, offset) };
    let Some(state) = guard.as_mut() else { return raw_write(fd, data, offset) };
    let (what, file) = match state.node(fd) {
        None | Some(Node::Directory { .. }) => return raw_write(fd, data, offset),
        Some(Node::World) => ("call to the world".to_owned(), None),
        Some(Node::File { id, path, append }) => (format!("write {}", short(&path)), Some((id, append))),
    };
    let verdict = state.before_write(&what, data.len(), file.is_none());
    let bytes = match verdict {
        Verdict::Fail(errno) => return fail(errno) as ssize_t,
        Verdict::Go => data,
        Verdict::Part(len) => data.get(..len).unwrap_or_default(),
    };
    let begins = match (offset, &file) {
        (Some(offset), _) => offset,
        (None, Some((_, true))) => system(libc::SYS_lseek, fd as usize, 0, libc::SEEK_END as usize, 0),
        (None, _) => system(libc::SYS_lseek, fd as usize, 0, libc::SEEK_CUR as usize, 0),
    };
    let written = if bytes.is_empty() { 0 } else { raw_write(fd, bytes, offset) };
    let done = bytes.get(..usize::try_from(written).unwrap_or(0)).unwrap_or_default();
    match file {
        Some((id, _)) => state.wrote(id, u64::try_from(begins).unwrap_or(0), done),
        None => state.note(state.counts.boundaries, Op::World { len: done.len() as u64 }),
    }
    if matches!(verdict, Verdict::Part(_)) {
        state.die(&format!("{what}, after {} of {} bytes", done.len(), data.len()));
    }
    written
}

/// # Safety
/// `data` points to `len` readable bytes.
unsafe fn bytes_of<'a>(data: *const c_void, len: size_t) -> &'a [u8] {
    if len == 0 {
        return &[];
    }
    // SAFETY: promised by the caller.
    unsafe { std::slice::from_raw_parts(data.cast(), len) }
}

/// # Safety
/// As for `writev(2)`.
unsafe fn gathered(parts: *const iovec, count: c_int) -> Vec<u8> {
    let mut bytes = Vec::new();
    for n in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: promised by the caller: `count` parts, each with a pointer to its bytes.
        unsafe {
            let part = &*parts.add(n);
            bytes.extend_from_slice(bytes_of(part.iov_base, part.iov_len));
        }
    }
    bytes
}

/// # Safety
/// As for `write(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, data: *const c_void, len: size_t) -> ssize_t {
    // SAFETY: promised by the caller.
    write_at(fd, unsafe { bytes_of(data, len) }, None)
}

/// # Safety
/// As for `pwrite(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite(fd: c_int, data: *const c_void, len: size_t, offset: off64_t) -> ssize_t {
    // SAFETY: promised by the caller.
    write_at(fd, unsafe { bytes_of(data, len) }, Some(offset))
}

/// # Safety
/// As for `pwrite(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(fd: c_int, data: *const c_void, len: size_t, offset: off64_t) -> ssize_t {
    // SAFETY: promised by the caller.
    write_at(fd, unsafe { bytes_of(data, len) }, Some(offset))
}

/// # Safety
/// As for `writev(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: promised by the caller.
    write_at(fd, &unsafe { gathered(parts, count) }, None)
}

/// # Safety
/// As for `pwritev(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwritev(fd: c_int, parts: *const iovec, count: c_int, offset: off64_t) -> ssize_t {
    // SAFETY: promised by the caller.
    write_at(fd, &unsafe { gathered(parts, count) }, Some(offset))
}

/// # Safety
/// As for `pwritev(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwritev64(fd: c_int, parts: *const iovec, count: c_int, offset: off64_t) -> ssize_t {
    // SAFETY: promised by the caller.
    write_at(fd, &unsafe { gathered(parts, count) }, Some(offset))
}

fn sync(fd: c_int, call: libc::c_long) -> c_int {
    let raw = || as_int(system(call, fd as usize, 0, 0, 0));
    {
        let Some(mut guard) = armed() else { return raw() };
        let Some(state) = guard.as_mut() else { return raw() };
        let (what, op) = match state.node(fd) {
            None | Some(Node::World) => return raw(),
            Some(Node::File { id, path, .. }) => {
                let honest = state.is_honest_about(&path);
                (format!("sync {}", short(&path)), Some(Op::Sync { id, honest }))
            }
            Some(Node::Directory { path }) => {
                let honest = state.arms.lie != Some(Lie::DirectorySync);
                (format!("sync directory {}", short(&path)), honest.then_some(Op::SyncDir { path }))
            }
        };
        match state.before_sync(&what) {
            Verdict::Fail(errno) => return fail(errno),
            // The error is swallowed: nothing is on disk, and nobody is told.
            Verdict::Part(_) => return 0,
            Verdict::Go => {}
        }
        if let Some(op) = op {
            state.note(state.counts.boundaries, op);
        }
    }
    take_time();
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(fd: c_int) -> c_int {
    sync(fd, libc::SYS_fdatasync)
}

#[unsafe(no_mangle)]
pub extern "C" fn fsync(fd: c_int) -> c_int {
    sync(fd, libc::SYS_fsync)
}

/// Starts writing back and promises nothing: a boundary, and no sync.
#[unsafe(no_mangle)]
pub extern "C" fn sync_file_range(fd: c_int, offset: off64_t, len: off64_t, flags: libc::c_uint) -> c_int {
    if let Some(mut guard) = armed()
        && let Some(state) = guard.as_mut()
        && matches!(state.node(fd), Some(Node::File { .. }))
    {
        state.before_change("sync_file_range");
        return 0;
    }
    as_int(system(libc::SYS_sync_file_range, fd as usize, offset as usize, len as usize, flags as usize))
}

fn allocate(fd: c_int, mode: c_int, offset: off64_t, len: off64_t) -> c_int {
    let keeps_size = mode & libc::FALLOC_FL_KEEP_SIZE != 0;
    if keeps_size
        && let Some(guard) = armed()
        && let Some(state) = guard.as_ref()
        && matches!(state.node(fd), Some(Node::File { .. }))
    {
        // Room set aside behind a file's end is nothing that could be lost; in memory it costs more than it saves.
        return 0;
    }
    as_int(system(libc::SYS_fallocate, fd as usize, mode as usize, offset as usize, len as usize))
}

#[unsafe(no_mangle)]
pub extern "C" fn fallocate(fd: c_int, mode: c_int, offset: off64_t, len: off64_t) -> c_int {
    allocate(fd, mode, offset, len)
}

#[unsafe(no_mangle)]
pub extern "C" fn fallocate64(fd: c_int, mode: c_int, offset: off64_t, len: off64_t) -> c_int {
    allocate(fd, mode, offset, len)
}

fn truncate_to(fd: c_int, len: off64_t) -> c_int {
    let raw = || as_int(system(libc::SYS_ftruncate, fd as usize, len as usize, 0, 0));
    let Some(mut guard) = armed() else { return raw() };
    let Some(state) = guard.as_mut() else { return raw() };
    let Some(Node::File { id, path, .. }) = state.node(fd) else { return raw() };
    state.before_change(&format!("truncate {}", short(&path)));
    let answer = raw();
    if answer == 0 {
        state.note(state.counts.boundaries, Op::Truncate { id, len: u64::try_from(len).unwrap_or(0) });
    }
    answer
}

#[unsafe(no_mangle)]
pub extern "C" fn ftruncate(fd: c_int, len: off64_t) -> c_int {
    truncate_to(fd, len)
}

#[unsafe(no_mangle)]
pub extern "C" fn ftruncate64(fd: c_int, len: off64_t) -> c_int {
    truncate_to(fd, len)
}

/// # Safety
/// As for `rename(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let at = libc::AT_FDCWD as usize;
    let raw = || as_int(system(libc::SYS_renameat, at, from as usize, at, to as usize));
    let Some(mut guard) = armed() else { return raw() };
    let Some(state) = guard.as_mut() else { return raw() };
    // SAFETY: promised by the caller.
    let (from_path, to_path) = unsafe { (path_of(from), path_of(to)) };
    if !state.watches(&from_path) {
        return raw();
    }
    state.before_change(&format!("rename {} to {}", short(&from_path), short(&to_path)));
    let answer = raw();
    if answer == 0 {
        state.renamed(from_path, to_path);
    }
    answer
}

/// # Safety
/// As for `unlink(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    let raw = || as_int(system(libc::SYS_unlinkat, libc::AT_FDCWD as usize, path as usize, 0, 0));
    let Some(mut guard) = armed() else { return raw() };
    let Some(state) = guard.as_mut() else { return raw() };
    // SAFETY: promised by the caller.
    let name = unsafe { path_of(path) };
    if !state.watches(&name) {
        return raw();
    }
    state.before_change(&format!("unlink {}", short(&name)));
    let answer = raw();
    if answer == 0 {
        state.unlinked(name);
    }
    answer
}

/// # Safety
/// As for `mkdir(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    let at = libc::AT_FDCWD as usize;
    let raw = || as_int(system(libc::SYS_mkdirat, at, path as usize, mode as usize, 0));
    let Some(mut guard) = armed() else { return raw() };
    let Some(state) = guard.as_mut() else { return raw() };
    // SAFETY: promised by the caller.
    let name = unsafe { path_of(path) };
    if !state.watches(&name) || name.is_dir() {
        return raw();
    }
    state.before_change(&format!("make directory {}", short(&name)));
    let answer = raw();
    if answer == 0 {
        state.note(state.counts.boundaries, Op::MakeDir { path: name });
    }
    answer
}

/// # Safety
/// As for `open(2)`.
unsafe fn open_file(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    let at = libc::AT_FDCWD as usize;
    let raw = || as_int(system(libc::SYS_openat, at, path as usize, flags as usize, mode as usize));
    let Some(mut guard) = armed() else { return raw() };
    let Some(state) = guard.as_mut() else { return raw() };
    // SAFETY: promised by the caller.
    let name = unsafe { path_of(path) };
    if !state.watches(&name) && name != state.arms.world {
        return raw();
    }
    let changes = flags & libc::O_ACCMODE != libc::O_RDONLY;
    let created = flags & libc::O_CREAT != 0 && !name.exists();
    let emptied = flags & libc::O_TRUNC != 0;
    if (created || emptied) && name != state.arms.world {
        state.before_change(&format!("create {}", short(&name)));
    }
    let fd = raw();
    // A file that is only read cannot change; a directory is opened to be synced.
    if fd >= 0 && (changes || created || name.is_dir()) {
        state.opened(fd, name, created, flags & libc::O_APPEND != 0, emptied);
    }
    fd
}

/// # Safety
/// As for `open(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: promised by the caller.
    unsafe { open_file(path, flags, mode) }
}

/// # Safety
/// As for `open(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: promised by the caller.
    unsafe { open_file(path, flags, mode) }
}

#[unsafe(no_mangle)]
pub extern "C" fn close(fd: c_int) -> c_int {
    if let Some(mut guard) = armed()
        && let Some(state) = guard.as_mut()
    {
        // Forgotten before it is closed: the number may be given out again at once.
        state.open.remove(&fd);
    }
    as_int(system(libc::SYS_close, fd as usize, 0, 0, 0))
}
