//! Accepts connections on loopback and gives each a thread.

use std::collections::HashMap;
use std::io::{self, BufReader};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::SockRef;

use super::exchange::{After, Exchange};
use super::wire::{Reading, Wire};
use crate::tls::Tls;

type Handler = dyn Fn(&mut Exchange<'_>) -> io::Result<After> + Send + Sync;

#[derive(Default)]
struct Connections {
    open: Mutex<HashMap<u64, Arc<TcpStream>>>,
    changed: Condvar,
    stop: AtomicBool,
}

/// A listening server; dropping it closes everything.
pub(crate) struct Listener {
    address: SocketAddr,
    scheme: &'static str,
    connections: Arc<Connections>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    pub(crate) fn start(
        name: &str,
        port: u16,
        tls: Option<Tls>,
        handler: impl Fn(&mut Exchange<'_>) -> io::Result<After> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let address = listener.local_addr()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let connections = Arc::new(Connections::default());
        let shared = Arc::clone(&connections);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || accept(&listener, &shared, tls, &(Arc::new(handler) as Arc<Handler>)))?;
        Ok(Self { address, scheme, connections, thread: Some(thread) })
    }

    /// `http://127.0.0.1:PORT`, or https.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.connections.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that waits in accept.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let open = self.connections.lock();
        for stream in open.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let all_closed = |open: &mut HashMap<_, _>| !open.is_empty();
        drop(self.connections.changed.wait_timeout_while(open, Duration::from_secs(5), all_closed));
    }
}

impl Connections {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<TcpStream>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(listener: &TcpListener, connections: &Arc<Connections>, tls: Option<Tls>, handler: &Arc<Handler>) {
    for (number, stream) in (0..).zip(listener.incoming()) {
        if connections.stop.load(Ordering::SeqCst) {
            break;
        }
        let Ok(stream) = stream.map(Arc::new) else { continue };
        connections.lock().insert(number, Arc::clone(&stream));
        let (shared, tls, handler) = (Arc::clone(connections), tls.clone(), Arc::clone(handler));
        let spawned = thread::Builder::new().spawn(move || {
            // Whatever happens in there, the connection must not stay in the register.
            let served = std::panic::AssertUnwindSafe(|| serve(&stream, tls.as_ref(), &shared.stop, &handler));
            let after = std::panic::catch_unwind(served).unwrap_or(After::Close);
            drop(handler);
            shared.lock().remove(&number);
            if after == After::Reset {
                let _ = SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
            }
            drop(stream);
            shared.changed.notify_all();
        });
        if spawned.is_err() {
            connections.lock().remove(&number);
        }
    }
}

/// Requests of one connection, one after the other.
fn serve(stream: &Arc<TcpStream>, tls: Option<&Tls>, stop: &AtomicBool, handler: &Arc<Handler>) -> After {
    let _ = stream.set_nodelay(true);
    let Ok(Some(wire)) = Wire::open(Arc::clone(stream), tls).map(|wire| wire.map(Rc::new)) else { return After::Cut };
    let mut reader = BufReader::with_capacity(256 * 1024, Reading(Rc::clone(&wire)));
    let after = loop {
        let Ok(Some(mut exchange)) = Exchange::read(&wire, &mut reader, stop) else { break After::Close };
        match handler(&mut exchange) {
            Ok(After::KeepAlive) if !stop.load(Ordering::SeqCst) => {}
            Ok(After::KeepAlive) => break After::Close,
            Ok(after) => break after,
            Err(_) => break After::Cut,
        }
    };
    if after == After::Close {
        wire.close();
    }
    after
}
