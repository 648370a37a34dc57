//! SeaweedFS, started for one test.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use tempfile::TempDir;

use crate::signer::Caller;

const ACCESS_KEY: &str = "SANDBOXACCESSKEY";
const SECRET_KEY: &str = "sandbox/secret+key";

/// Runs until dropped.
pub(super) struct SeaweedFs {
    process: Child,
    port: u16,
    _folder: TempDir,
}

/// Ports that nobody listens on now.
fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    let listeners: Vec<TcpListener> = (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<io::Result<_>>()?;
    Ok(std::array::from_fn(|index| listeners[index].local_addr().map_or(0, |address| address.port())))
}

impl SeaweedFs {
    /// The program named by `AMP_WEED`, in a folder of its own, on free ports of loopback.
    pub(super) fn start() -> io::Result<Self> {
        let program = env::var_os("AMP_WEED").ok_or_else(|| io::Error::other("AMP_WEED names no program"))?;
        let folder = tempfile::tempdir()?;
        let (config, log) = (folder.path().join("s3.json"), folder.path().join("log"));
        let identity = format!(
            r#"{{"identities": [{{"name": "sandbox", "credentials": [{{"accessKey": "{ACCESS_KEY}", "secretKey": "{SECRET_KEY}"}}],
                "actions": ["Admin", "Read", "Write", "List", "Tagging"]}}]}}"#
        );
        fs::write(&config, identity)?;
        let mut command = Command::new(program);
        command.args(["mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-bucket=lake", "-s3.autoCreateBucket=false"]);
        command.args(["-master.telemetry=false", "-webdav=false", "-admin.ui=false"]);
        command.args(["-s3.port.iceberg=0", "-s3.port.lance=0"]);
        command.arg(format!("-dir={}", folder.path().display())).arg(format!("-s3.config={}", config.display()));
        let ports: [u16; 10] = free_ports()?;
        let parts = ["master", "volume", "filer", "admin", "s3"];
        for (part, ports) in parts.iter().zip(ports.chunks(2)) {
            command.arg(format!("-{part}.port={}", ports[0])).arg(format!("-{part}.port.grpc={}", ports[1]));
        }
        command.stdin(Stdio::null()).stdout(fs::File::create(&log)?).stderr(Stdio::null());
        let server = Self { process: command.spawn()?, port: ports[8], _folder: folder };
        let start = Instant::now();
        while !(TcpStream::connect(("127.0.0.1", server.port)).is_ok() && server.has_bucket()) {
            if start.elapsed() > Duration::from_secs(60) {
                return Err(io::Error::other(format!("SeaweedFS does not start: {}", fs::read_to_string(&log)?)));
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(server)
    }

    fn has_bucket(&self) -> bool {
        self.caller().call("HEAD", "/lake", &[], b"").is_ok_and(|answer| answer.status == 200)
    }

    pub(super) fn caller(&self) -> Caller {
        Caller {
            endpoint: format!("http://127.0.0.1:{}", self.port),
            access_key: ACCESS_KEY.into(),
            secret_key: SECRET_KEY.into(),
            region: "us-east-1".into(),
            now: chrono::Utc::now(),
        }
    }
}

impl Drop for SeaweedFs {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
