//! SeaweedFS, a real S3 server of others, started for one test.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use tempfile::TempDir;

/// The access key that it knows.
pub const ACCESS_KEY: &str = "SANDBOXACCESSKEY";
/// Its secret.
pub const SECRET_KEY: &str = "sandbox/secret+key";
/// Its bucket.
pub const BUCKET: &str = "lake";

/// Runs until dropped.
#[derive(Debug)]
pub struct SeaweedFs {
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
    /// The program named by `AMP_WEED`, in a folder of its own, on free ports of loopback. `has_bucket` asks it whether its bucket is there.
    ///
    /// # Errors
    /// When there is no such program or it does not start.
    pub fn start(has_bucket: impl Fn(&Self) -> bool) -> io::Result<Self> {
        let program = env::var_os("AMP_WEED").ok_or_else(|| io::Error::other("AMP_WEED names no program"))?;
        let folder = tempfile::tempdir()?;
        let (config, log) = (folder.path().join("s3.json"), folder.path().join("log"));
        let identity = format!(
            r#"{{"identities": [{{"name": "sandbox", "credentials": [{{"accessKey": "{ACCESS_KEY}", "secretKey": "{SECRET_KEY}"}}],
                "actions": ["Admin", "Read", "Write", "List", "Tagging"]}}]}}"#
        );
        fs::write(&config, identity)?;
        let mut command = Command::new(program);
        command.args([
            "mini",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            &format!("-bucket={BUCKET}"),
            "-s3.autoCreateBucket=false",
        ]);
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
        while !(TcpStream::connect(("127.0.0.1", server.port)).is_ok() && has_bucket(&server)) {
            if start.elapsed() > Duration::from_secs(60) {
                return Err(io::Error::other(format!("SeaweedFS does not start: {}", fs::read_to_string(&log)?)));
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(server)
    }

    /// The environment that leads amp-load to its bucket.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_BUCKET_NAME", BUCKET.to_owned()),
            ("AWS_ACCESS_KEY", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_KEY", SECRET_KEY.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ENDPOINT_URL_S3", self.endpoint_url()),
        ]
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for SeaweedFs {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
