//! HTTP/2 before a server that speaks HTTP/1.1, as a load balancer has it.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri, Version, client, server};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::tls::Tls;

/// A front that offers nothing but HTTP/2 over TLS, and leads each request to one server; it stops when dropped.
pub struct Http2Front {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Http2Front {
    /// Listens on 127.0.0.1. `server` is a URL of a server here that speaks plain http; its path does not matter.
    ///
    /// # Errors
    /// When it can't listen.
    pub fn start(server: &str, tls: &Tls) -> io::Result<Self> {
        let unusable = || io::Error::other(format!("{server} is no URL with an address and a port"));
        let server: SocketAddr = server.split('/').nth(2).and_then(|text| text.parse().ok()).ok_or_else(unusable)?;
        let mut config = ServerConfig::clone(&tls.config);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let accept = async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(answer(client, acceptor.clone(), server, Arc::clone(&counted)));
            }
        };
        let thread = thread::Builder::new().name("http2".into()).spawn(move || {
            // What was spawned ends with the runtime.
            runtime.block_on(async {
                tokio::spawn(accept);
                stopped.await.ok();
            });
        })?;
        Ok(Self { address, requests, stop: Some(stop), thread: Some(thread) })
    }

    /// `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// How many requests came over HTTP/2.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Http2Front {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn answer(client: TcpStream, acceptor: TlsAcceptor, server: SocketAddr, requests: Arc<AtomicUsize>) {
    let Ok(client) = acceptor.accept(client).await else { return };
    let service = service_fn(|request| {
        requests.fetch_add(1, Ordering::SeqCst);
        pass(request, server)
    });
    let connection = server::conn::http2::Builder::new(TokioExecutor::new());
    let _ = connection.serve_connection(TokioIo::new(client), service).await;
}

/// The answer of `server` to a request; without one, the request's stream is reset.
async fn pass(
    mut request: Request<Incoming>,
    server: SocketAddr,
) -> Result<Response<Incoming>, Box<dyn Error + Send + Sync>> {
    let (mut sender, connection) =
        client::conn::http1::handshake(TokioIo::new(TcpStream::connect(server).await?)).await?;
    tokio::spawn(connection);
    let host = request.uri().authority().map_or_else(String::new, ToString::to_string);
    request.headers_mut().insert(HOST, HeaderValue::from_str(&host)?);
    let target = request.uri().path_and_query().map_or_else(|| Uri::from_static("/"), |target| target.clone().into());
    *request.uri_mut() = target;
    *request.version_mut() = Version::HTTP_11;
    Ok(sender.send_request(request).await?)
}
