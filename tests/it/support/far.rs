//! A server that is far away: whatever goes to it or comes from it is on its way for a while.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// A port in front of a server. Dropped, it is gone.
pub struct Far {
    pub address: SocketAddr,
    _forwarding: JoinSet<()>,
}

impl Far {
    /// Forwards to `target`, each message after `way`.
    pub async fn before(target: SocketAddr, way: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut forwarding = JoinSet::new();
        forwarding.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                open.spawn(async move {
                    let Ok(server) = TcpStream::connect(target).await else { return };
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    tokio::select! {
                        () = carry(from_client, to_server, way) => {}
                        () = carry(from_server, to_client, way) => {}
                    }
                });
            }
        });
        Self { address, _forwarding: forwarding }
    }

    /// In front of the database behind a `postgres://` URL; what to reach it by.
    pub async fn before_database(url: &str, way: Duration) -> (Self, String) {
        let mut url = url::Url::parse(url).unwrap();
        let target = url.socket_addrs(|| Some(5432)).unwrap()[0];
        let far = Self::before(target, way).await;
        url.set_ip_host(far.address.ip()).unwrap();
        url.set_port(Some(far.address.port())).unwrap();
        (far, url.into())
    }
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, way: Duration) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        tokio::time::sleep(way).await;
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
