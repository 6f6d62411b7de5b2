//! `curl 'localhost:5012/api/v1/search?filter=level>=error'` should work, although `<` and `>` may not stand in a request
//! line: curl and Python's urllib send them as they are, and hyper would close the connection without a word of ours.
//!
//! So these two are encoded in the first line of each connection, before hyper sees it. Later requests on the same
//! connection come from clients that know how to encode.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A socket whose first line is repaired while it is read.
pub(super) struct Lenient {
    socket: TcpStream,
    /// Read and repaired, but not handed on yet. Never more than three times [`PIECE`].
    ready: Vec<u8>,
    is_past_first_line: bool,
}

const PIECE: usize = 2048;

impl Lenient {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self { socket, ready: Vec::new(), is_past_first_line: false }
    }

    fn take_in(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'<' if !self.is_past_first_line => self.ready.extend_from_slice(b"%3C"),
                b'>' if !self.is_past_first_line => self.ready.extend_from_slice(b"%3E"),
                _ => self.ready.push(*byte),
            }
            self.is_past_first_line |= *byte == b'\n';
        }
    }
}

impl AsyncRead for Lenient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ready.is_empty() && self.is_past_first_line {
            return Pin::new(&mut self.socket).poll_read(context, into);
        }
        if self.ready.is_empty() {
            let mut room = [0; PIECE];
            let mut piece = ReadBuf::new(&mut room);
            ready!(Pin::new(&mut self.socket).poll_read(context, &mut piece))?;
            self.take_in(piece.filled());
        }
        let count = self.ready.len().min(into.remaining());
        let handed_on: Vec<u8> = self.ready.drain(..count).collect();
        into.put_slice(&handed_on);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Lenient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}
