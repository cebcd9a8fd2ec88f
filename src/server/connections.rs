//! Connections: so many at once, each with limits, so that silent or slow clients take neither descriptors nor turns for ever.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock;
use crate::units::Span;

/// How much clients may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at once; others wait to be accepted.
    pub(super) connections: usize,
    /// A new connection has asked for something by then.
    pub(super) first: Span,
    /// After an answer, the next question is there by then.
    pub(super) idle: Span,
    /// A client that takes nothing of its answer for this long is given up.
    pub(super) stalled: Span,
}

/// Well below the 1024 descriptors that a process mostly may have: the journal and the calls of AWS need some.
pub(super) const LIMITS: Limits = Limits {
    connections: 64,
    first: Span::from_seconds(10),
    idle: Span::from_minutes(1),
    stalled: Span::from_minutes(1),
};

/// Answers until it is asked to stop, then ends with the last answer that has begun.
pub(super) async fn serve(mut listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let open = TaskTracker::new();
    while let Some(Some((stream, place))) = stop.run_until_cancelled(next(&mut listener, &places)).await {
        let (router, stop) = (router.clone(), stop.clone());
        open.spawn(async move {
            connection(stream, router, limits, &stop).await;
            drop(place);
        });
    }
    drop(listener);
    open.close();
    open.wait().await;
}

/// The next connection, as soon as there is a place for it.
async fn next(listener: &mut TcpListener, places: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    let (stream, _) = Listener::accept(listener).await;
    Some((stream, place))
}

async fn connection(stream: TcpStream, router: Router, limits: Limits, stop: &CancellationToken) {
    let asked = CancellationToken::new();
    let routes = TowerToHyperService::new(router);
    let service = service_fn(|request| {
        asked.cancel();
        routes.call(request)
    });
    let stream = TokioIo::new(Patient::new(stream, limits.stalled));
    // To the library, waiting for another question is reading its head.
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(clock::duration(limits.idle))
        .serve_connection(stream, service);
    let mut serving = pin!(serving);
    let mut silent = pin!(silent(&asked, limits.first));
    let mut stopping = false;
    loop {
        tokio::select! {
            // How it ended is its client's affair.
            _ = serving.as_mut() => return,
            () = silent.as_mut() => return,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Ends if nothing is asked in time.
async fn silent(asked: &CancellationToken, most: Span) {
    if clock::within(most, asked.cancelled()).await.is_some() {
        std::future::pending::<()>().await;
    }
}

/// A stream that fails once nothing of what is written is taken for so long.
struct Patient<S> {
    stream: S,
    most: Span,
    /// Since something is to be written and nothing is taken.
    waits: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<S> Patient<S> {
    const fn new(stream: S, most: Span) -> Self {
        let waits = None;
        Self { stream, most, waits }
    }

    fn look<T>(&mut self, context: &mut Context<'_>, written: Poll<Result<T>>) -> Poll<Result<T>> {
        if written.is_ready() {
            self.waits = None;
            return written;
        }
        let most = self.most;
        let waits = self.waits.get_or_insert_with(|| Box::pin(clock::wait(most)));
        let over = waits.as_mut().poll(context);
        over.map(|()| Err(Error::new(ErrorKind::TimedOut, "the client takes nothing any more")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.look(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.look(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const LONG: Span = Span::from_seconds(60);
    const SHORT: Span = Span::from_millis(50);
    const PATIENT: Limits = Limits {
        connections: 64,
        first: LONG,
        idle: LONG,
        stalled: LONG,
    };

    /// Serves in the background; with how it stops.
    async fn served(limits: Limits) -> (SocketAddr, impl Future<Output = ()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let router = Router::new().route("/", get(async || "ok"));
        let serving = tokio::spawn(serve(listener, router, limits, stop.clone()));
        let stopped = async move {
            stop.cancel();
            clock::within(LONG, serving).await.unwrap().unwrap();
        };
        (address, stopped)
    }

    /// All that comes until the other side closes.
    async fn rest(stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        // A connection that is closed with something unread is reset.
        let _ = clock::within(LONG, stream.read_to_end(&mut text)).await.unwrap();
        String::from_utf8(text).unwrap()
    }

    /// Asks, and takes the whole answer.
    async fn answered(stream: &mut TcpStream) -> bool {
        stream.write_all(ASK).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok") {
            let byte = clock::within(LONG, stream.read_u8()).await.unwrap();
            answer.push(byte.unwrap());
        }
        answer.starts_with(b"HTTP/1.1 200 OK")
    }

    #[tokio::test]
    async fn who_asks_nothing_or_no_more_is_closed() {
        let (address, stopped) = served(Limits {
            first: SHORT,
            ..PATIENT
        })
        .await;
        let mut asking = TcpStream::connect(address).await.unwrap();
        assert!(answered(&mut asking).await);
        for begun in ["", "GET / HTTP/1.1\r\nHost: loc"] {
            let mut silent = TcpStream::connect(address).await.unwrap();
            silent.write_all(begun.as_bytes()).await.unwrap();
            assert_eq!(rest(&mut silent).await, "", "{begun:?}");
        }
        assert!(answered(&mut asking).await, "the limit is one for the first question");
        stopped.await;
        let (address, stopped) = served(Limits { idle: SHORT, ..PATIENT }).await;
        let mut asking = TcpStream::connect(address).await.unwrap();
        assert!(answered(&mut asking).await);
        assert_eq!(rest(&mut asking).await, "");
        stopped.await;
    }

    #[tokio::test]
    async fn one_too_many_is_served_once_another_ends() {
        let (address, stopped) = served(PATIENT).await;
        let mut open = Vec::new();
        for _ in 0..PATIENT.connections {
            let mut stream = TcpStream::connect(address).await.unwrap();
            assert!(answered(&mut stream).await);
            open.push(stream);
        }
        let mut last = TcpStream::connect(address).await.unwrap();
        let mut answer = Box::pin(answered(&mut last));
        assert!(clock::within(SHORT, &mut answer).await.is_none(), "there is no place");
        open.pop();
        assert!(answer.await);
        stopped.await;
    }

    #[tokio::test]
    async fn a_stop_waits_for_none_that_only_listens() {
        let (address, stopped) = served(PATIENT).await;
        let mut asked = TcpStream::connect(address).await.unwrap();
        assert!(answered(&mut asked).await);
        let mut silent = TcpStream::connect(address).await.unwrap();
        clock::within(Span::from_seconds(10), stopped).await.unwrap();
        assert_eq!(rest(&mut silent).await, "");
    }
}
