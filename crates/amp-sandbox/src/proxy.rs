//! A forward proxy that leads every host to one server.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

#[derive(Default)]
struct State {
    asked: Mutex<Vec<String>>,
    open: Mutex<Vec<TcpStream>>,
    stop: AtomicBool,
}

/// A running proxy; it stops when dropped. With it a program can be told of hosts that no name server knows, such as
/// `lake.s3.localtest`.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// Listens on 127.0.0.1. `server` is a URL of a server here; its path does not matter.
    pub fn start(server: &str) -> io::Result<Self> {
        let unusable = || io::Error::other(format!("{server} is no URL with an address and a port"));
        let address = server.split('/').nth(2).ok_or_else(unusable)?;
        let upstream: SocketAddr = address.parse().map_err(|_| unusable())?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let thread = thread::Builder::new().name("proxy".into()).spawn(move || accept(&listener, upstream, &shared))?;
        Ok(Self { address, state, thread: Some(thread) })
    }

    /// `http://127.0.0.1:PORT`, for `HTTP_PROXY` and `HTTPS_PROXY`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Method and target of the first request on each connection, such as `CONNECT lake.s3.localtest:443` and
    /// `PUT http://lake.s3.localtest/key`.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.state.asked).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that waits in accept.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        lock(&self.state.open).iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }
}

fn accept(listener: &TcpListener, upstream: SocketAddr, state: &Arc<State>) {
    for client in listener.incoming().flatten() {
        if state.stop.load(Ordering::SeqCst) {
            break;
        }
        let state = Arc::clone(state);
        thread::spawn(move || pass(client, upstream, &state));
    }
}

fn pass(client: TcpStream, upstream: SocketAddr, state: &State) -> io::Result<()> {
    lock(&state.open).push(client.try_clone()?);
    let mut reader = BufReader::new(client.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    lock(&state.asked).push(format!("{method} {target}"));
    let mut server = TcpStream::connect(upstream)?;
    lock(&state.open).push(server.try_clone()?);
    if method == "CONNECT" {
        let mut line = String::new();
        while reader.read_line(&mut line)? > 0 && line.trim() != "" {
            line.clear();
        }
        (&client).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    } else {
        server.write_all(first.as_bytes())?;
    }
    let back = thread::spawn({
        let (server, client) = (server.try_clone()?, client.try_clone()?);
        move || pipe(server, client)
    });
    pipe(reader, server)?;
    back.join().map_or(Ok(()), |piped| piped)
}

/// Passes on what comes, and that nothing comes any more.
fn pipe(mut from: impl Read, mut to: TcpStream) -> io::Result<()> {
    io::copy(&mut from, &mut to)?;
    to.shutdown(Shutdown::Write)
}
