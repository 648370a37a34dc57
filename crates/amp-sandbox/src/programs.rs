//! The two programs: found where cargo puts them, built if need be, run with nothing but a folder's `.env`.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::context;
use crate::export::ExportServer;
use crate::out::complain;
use crate::s3::S3Server;

/// Where cargo puts programs.
#[derive(Debug)]
pub struct Programs {
    target: PathBuf,
    release: bool,
}

impl Programs {
    /// Beside the running program, so that what is built already serves.
    ///
    /// # Errors
    /// When the running program's own path is not known.
    pub fn beside_us(release: bool) -> io::Result<Self> {
        Self::beside(&env::current_exe()?, release)
    }

    /// Beside another program, where a test knows where cargo put that.
    ///
    /// # Errors
    /// When its path is not one below cargo's target directory.
    pub fn beside(program: &Path, release: bool) -> io::Result<Self> {
        let profile = program.parent().ok_or(io::ErrorKind::NotFound)?;
        let target = profile.parent().ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { target: target.to_owned(), release: release || profile.ends_with("release") })
    }

    /// Builds them, if need be.
    ///
    /// # Errors
    /// When cargo is missing or they do not build.
    pub fn build(&self) -> io::Result<()> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
        let mut build = Command::new(&cargo);
        build.args(["build", "--quiet", "--package", "amp-extract", "--package", "amp-load"]);
        build.arg("--manifest-path").arg(manifest).arg("--target-dir").arg(&self.target);
        if self.release {
            build.arg("--release");
        }
        // What cargo told the running program of its own package has build scripts of other packages run anew.
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_PKG_")) {
            build.env_remove(name);
        }
        build.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_MANIFEST_LINKS");
        complain("Building amp-extract and amp-load …");
        let status = build.status().map_err(context(format!("{} can't be run", cargo.display())))?;
        if status.success() { Ok(()) } else { Err(io::Error::other("amp-extract and amp-load don't build")) }
    }

    /// Cargo's target directory.
    pub fn target(&self) -> &Path {
        &self.target
    }

    fn path(&self, program: &str) -> PathBuf {
        let profile = if self.release { "release" } else { "debug" };
        self.target.join(profile).join(format!("{program}{}", env::consts::EXE_SUFFIX))
    }

    /// The program in that folder, run by `wrapper` (a program and its arguments) if there is one.
    pub fn command(&self, wrapper: &[String], program: &str, folder: &Path) -> Command {
        let mut command = match wrapper {
            [] => Command::new(self.path(program)),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(self.path(program));
                command
            }
        };
        command.current_dir(folder);
        // The shell's own settings must neither help nor disturb; a proxy would swallow loopback.
        for (name, _) in env::vars_os().filter(|(name, _)| is_foreign(name)) {
            command.env_remove(name);
        }
        for name in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
            command.env(name, folder.join("no-such-file"));
        }
        command
    }
}

/// The `.env` that leads amp-extract and amp-load to the two servers.
pub fn dotenv(export: &ExportServer, s3: &S3Server, bucket: &str) -> String {
    let settings = [export.env(), s3.env(bucket)].concat();
    settings.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
}

fn is_foreign(name: &OsString) -> bool {
    let name = name.to_string_lossy().to_ascii_uppercase();
    ["AWS_", "AMP_", "SSL_CERT_"].iter().any(|start| name.starts_with(start)) || name.ends_with("_PROXY")
}
