//! Tools and rights that some tests need and a machine may lack: strace, faketime, a terminal, a mount.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, io, thread};

/// The variable that leaves out tests for which something is missing; without it they fail.
pub const LEAVE_OUT: &str = "AMP_TESTS_WITHOUT_TOOLS";

/// Whether a test can have what it `needs`. If it can't and [`LEAVE_OUT`] is set, a line on stderr says that it was not run.
///
/// # Panics
/// When it can't have it and [`LEAVE_OUT`] is not set: a test that was not run must not pass for one that was.
#[must_use]
pub fn has(needs: &str, is_there: bool) -> bool {
    if !is_there {
        assert!(env::var_os(LEAVE_OUT).is_some(), "needs {needs}; {LEAVE_OUT}=1 leaves out tests that lack a tool");
        // Not `eprintln!`, whose lines the test harness shows of failed tests only.
        let test = thread::current().name().unwrap_or("a test").to_owned();
        let _ = writeln!(io::stderr(), "NOT RUN: {test}: needs {needs}");
    }
    is_there
}

/// The library that gives a program another clock (`LD_PRELOAD` and `FAKETIME`), as `faketime` itself preloads it; `None` where [`has`]
/// leaves the test out.
///
/// # Panics
/// As [`has`].
#[must_use]
pub fn faketime() -> Option<String> {
    static LIBRARY: OnceLock<Option<String>> = OnceLock::new();
    // It names a semaphore by its process id, which one that was killed may have left behind: another process has another id.
    let library = LIBRARY.get_or_init(|| (0..5).find_map(|_| library_of_faketime())).clone();
    has("faketime", library.is_some()).then_some(library?)
}

fn library_of_faketime() -> Option<String> {
    let told = Command::new("faketime").args(["-m", "-f", "+0s", "printenv", "LD_PRELOAD"]).output().ok()?;
    let library = String::from_utf8(told.stdout).ok().filter(|_| told.status.success())?;
    Some(library.trim().to_owned())
}

/// A file system of its own, in memory; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of `size`, as mount(8) writes sizes, at `path`, which is made if it is missing. `None` where [`has`] leaves the test out.
    ///
    /// # Panics
    /// As [`has`].
    #[must_use]
    pub fn mount(path: &Path, size: &str) -> Option<Self> {
        let is_made = fs::create_dir_all(path).is_ok();
        let size = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(path).output();
        let is_there = is_made && mounted.is_ok_and(|mounted| mounted.status.success());
        has("the right to mount", is_there).then(|| Self(path.to_owned()))
    }

    /// Gives it another size.
    ///
    /// # Panics
    /// When mount(8) refuses.
    pub fn resize(&self, size: &str) {
        let options = format!("remount,size={size}");
        let resized = Command::new("mount").args(["-o", &options]).arg(&self.0).status();
        assert!(resized.is_ok_and(|status| status.success()), "cannot resize {}", self.0.display());
    }

    /// Writes a file of that name until there is no room for another byte.
    ///
    /// # Errors
    /// When the file cannot be made, or is refused for another reason.
    pub fn fill(&self, name: &str) -> io::Result<()> {
        let mut file = File::create(self.0.join(name))?;
        for size in [1 << 16, 1] {
            let bytes = vec![b'x'; size];
            let refused = loop {
                if let Err(error) = file.write_all(&bytes) {
                    break error;
                }
            };
            if refused.kind() != ErrorKind::StorageFull {
                return Err(refused);
            }
        }
        Ok(())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
