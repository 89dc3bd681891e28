//! A connection that can be cut: forwards bytes to a server, until it is told not to.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// A port in front of a server.
pub struct Cut {
    pub address: SocketAddr,
    whole: watch::Sender<bool>,
    _forwarding: JoinSet<()>,
}

impl Cut {
    /// Forwards to `target` until it is cut.
    pub async fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (whole, state) = watch::channel(true);
        let mut forwarding = JoinSet::new();
        forwarding.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let Ok((mut client, _)) = listener.accept().await else { return };
                let mut state = state.clone();
                if !*state.borrow() {
                    continue; // accepted and dropped: the client sees its connection reset
                }
                open.spawn(async move {
                    let Ok(mut server) = TcpStream::connect(target).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = state.wait_for(|whole| !whole) => {}
                    }
                });
            }
        });
        Self { address, whole, _forwarding: forwarding }
    }

    /// In front of the server of an `http://` URL; what to reach it by.
    pub async fn before_url(url: &str) -> (Self, String) {
        let cut = Self::before(url.trim_start_matches("http://").parse().unwrap()).await;
        let url = format!("http://{}", cut.address);
        (cut, url)
    }

    /// Ends every connection and lets none through.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}
