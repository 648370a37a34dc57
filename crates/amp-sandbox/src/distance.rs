//! A long way to a server: passes connections on with a round trip and a rate of their own.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Read at a time.
const CHUNK: usize = 64 << 10;
/// Chunks on the way at least, as in the buffers of the kernel.
const MIN_WINDOW: usize = 4;
/// Chunks on the way where the rate has no limit.
const WIDE_WINDOW: usize = 64;

/// What the way is like.
#[derive(Debug, Clone, Copy)]
pub struct Distance {
    /// From a byte to its answer; a connection takes one to be made.
    pub round_trip: Duration,
    /// Bytes a second that each connection carries in either direction.
    pub rate: Option<u64>,
}

impl Distance {
    /// How long so many bytes take to pass.
    fn passage(self, bytes: usize) -> Duration {
        self.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64))
    }

    /// How many chunks are on the way at the same time when it is used to the full.
    fn window(self) -> usize {
        let Some(rate) = self.rate else { return WIDE_WINDOW };
        let bytes = rate as f64 * self.round_trip.as_secs_f64();
        MIN_WINDOW + (bytes / CHUNK as f64).ceil() as usize
    }
}

/// Listens on a free port of 127.0.0.1, says so by `ready`, and passes every connection on to `server` for ever.
///
/// # Errors
/// When it can't listen.
pub fn serve(server: SocketAddr, distance: Distance, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        ready(listener.local_addr()?);
        loop {
            let (client, _) = listener.accept().await?;
            tokio::spawn(connect(client, server, distance));
        }
    })
}

async fn connect(client: TcpStream, server: SocketAddr, distance: Distance) -> io::Result<()> {
    // The kernel made the connection at once: what it takes on the way is added to its first bytes.
    let made = Instant::now() + distance.round_trip;
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::spawn(pass(from_client, to_server, distance, made));
    tokio::spawn(pass(from_server, to_client, distance, made));
    Ok(())
}

/// Passes on what comes, each byte when its time has come, and that nothing comes any more.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, distance: Distance, made: Instant) -> io::Result<()> {
    let (sender, mut on_the_way) = mpsc::channel::<(Instant, Vec<u8>)>(distance.window());
    let arriving = tokio::spawn(async move {
        while let Some((due, chunk)) = on_the_way.recv().await {
            if due > Instant::now() {
                sleep_until(due).await;
            }
            to.write_all(&chunk).await?;
        }
        to.shutdown().await
    });
    let mut last = made;
    loop {
        let mut chunk = vec![0; CHUNK];
        let count = from.read(&mut chunk).await.unwrap_or(0);
        if count == 0 {
            break;
        }
        chunk.truncate(count);
        let sent = Instant::now().max(made);
        last = (sent + distance.round_trip / 2).max(last + distance.passage(count));
        if sender.send((last, chunk)).await.is_err() {
            break;
        }
    }
    drop(sender);
    arriving.await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net;
    use std::sync::mpsc::channel;
    use std::thread;

    /// A server that sends back what it gets, behind a relay.
    fn echo(distance: Distance) -> net::TcpStream {
        let server = net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = server.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut reader = stream.try_clone().unwrap();
            io::copy(&mut reader, &mut stream).unwrap();
            stream.shutdown(net::Shutdown::Write).unwrap();
        });
        let (sender, relay) = channel();
        thread::spawn(move || serve(address, distance, |address| sender.send(address).unwrap()));
        net::TcpStream::connect(relay.recv().unwrap()).unwrap()
    }

    #[test]
    fn every_byte_comes_back_no_sooner_than_the_way_allows() {
        let distance = Distance { round_trip: Duration::from_millis(40), rate: Some(10_000_000) };
        let mut stream = echo(distance);
        let began = Instant::now();
        let mut byte = [0];
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut byte).unwrap();
        assert!(began.elapsed() >= 2 * distance.round_trip, "a connection and an answer: {:?}", began.elapsed());
        let sent: Vec<u8> = (0..1_000_000u32).map(|n| ((n * 31) >> 7) as u8).collect();
        let began = Instant::now();
        let mut writer = stream.try_clone().unwrap();
        let bytes = sent.clone();
        thread::spawn(move || {
            writer.write_all(&bytes).unwrap();
            writer.shutdown(net::Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        assert!(received == sent, "bytes were lost or changed");
        assert!(began.elapsed() >= Duration::from_millis(140), "{:?}", began.elapsed());
    }
}
