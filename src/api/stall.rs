//! Stall: ends a connection whose peer has stopped reading.
//!
//! Owns the bound on one blocked write. Without it a peer that asks and never reads would hold its connection, and
//! what is being written to it, for as long as it likes.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// A connection on which a write that moves nothing for `limit` is an error.
pub struct Unstalled<T> {
    io: T,
    limit: Duration,
    /// Runs while a write is blocked.
    patience: Option<Pin<Box<Sleep>>>,
}

impl<T> Unstalled<T> {
    /// Bounds the writes of a connection.
    pub const fn new(io: T, limit: Duration) -> Self {
        Self { io, limit, patience: None }
    }

    /// Passes on what became of a write, and when it was blocked for too long, that.
    fn judge<R>(&mut self, written: Poll<io::Result<R>>, context: &mut Context<'_>) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.patience = None;
            return written;
        }
        let limit = self.limit;
        let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(patience.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer has stopped reading")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Unstalled<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Unstalled<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.judge(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.judge(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.judge(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_write_that_nobody_reads_fails_and_a_slow_one_does_not() {
        let (ours, mut theirs) = duplex(4);
        let mut ours = Unstalled::new(ours, Duration::from_secs(5));
        let reading = tokio::spawn(async move {
            let mut heard = [0; 8];
            for byte in heard.chunks_mut(1) {
                sleep(Duration::from_secs(4)).await;
                theirs.read_exact(byte).await.unwrap();
            }
            (heard, theirs)
        });
        ours.write_all(b"12345678").await.unwrap();
        let (heard, _theirs) = reading.await.unwrap();
        assert_eq!(&heard, b"12345678");
        let error = ours.write_all(b"12345").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
