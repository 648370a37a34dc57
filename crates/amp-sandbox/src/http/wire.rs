//! A connection, plain or with TLS over it.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;

use rustls::{ServerConnection, Stream};

use crate::tls::{Handshake, Tls};

/// What one thread reads from and writes to; the listener's register has the same socket.
pub(super) struct Wire {
    tcp: Arc<TcpStream>,
    tls: Option<RefCell<ServerConnection>>,
}

impl Wire {
    /// `None` if there is nothing more to say to the client.
    pub(super) fn open(tcp: Arc<TcpStream>, tls: Option<&Tls>) -> io::Result<Option<Self>> {
        let Some(tls) = tls else {
            let plain = Self { tcp, tls: None };
            return Ok((!plain.refuses_tls()?).then_some(plain));
        };
        match tls.handshake {
            Handshake::Made => {
                let connection = ServerConnection::new(Arc::clone(&tls.config)).map_err(io::Error::other)?;
                return Ok(Some(Self { tcp, tls: Some(RefCell::new(connection)) }));
            }
            Handshake::Cut => read_hello(&tcp)?,
            Handshake::Alert(code) => {
                read_hello(&tcp)?;
                const ALERT: u8 = 21;
                const FATAL: u8 = 2;
                (&*tcp).write_all(&[ALERT, 3, 3, 0, 2, FATAL, code])?;
            }
            Handshake::Stall => drop(io::copy(&mut &*tcp, &mut io::sink())?),
        }
        Ok(None)
    }

    /// Answers a client that speaks TLS to a server without it, as nginx does.
    fn refuses_tls(&self) -> io::Result<bool> {
        const HANDSHAKE: u8 = 22;
        let mut first = [0];
        if self.tcp.peek(&mut first)? == 0 || first != [HANDSHAKE] {
            return Ok(false);
        }
        // Closing on unread bytes would reset the connection and could take the answer with it.
        read_hello(&self.tcp)?;
        (&*self.tcp).write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
        Ok(true)
    }

    /// Tells the client that all was sent that should be.
    pub(super) fn close(&self) {
        if let Some(tls) = &self.tls {
            let mut connection = tls.borrow_mut();
            connection.send_close_notify();
            let _ = connection.write_tls(&mut &*self.tcp);
        }
    }
}

/// Reads the client's hello, a record of TLS: five bytes, the last two of them the length of the rest.
fn read_hello(mut tcp: &TcpStream) -> io::Result<()> {
    let mut header = [0; 5];
    tcp.read_exact(&mut header)?;
    tcp.read_exact(&mut vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))])
}

/// The reading side of a connection.
pub(super) struct Reading(pub(super) Rc<Wire>);

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.0.tls {
            None => (&*self.0.tcp).read(buffer),
            Some(tls) => Stream::new(&mut *tls.borrow_mut(), &mut &*self.0.tcp).read(buffer),
        }
    }
}

impl Write for &Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.tls {
            None => (&*self.tcp).write(bytes),
            Some(tls) => Stream::new(&mut *tls.borrow_mut(), &mut &*self.tcp).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &self.tls {
            None => Ok(()),
            Some(tls) => Stream::new(&mut *tls.borrow_mut(), &mut &*self.tcp).flush(),
        }
    }
}
