//! The API as its clients see it: served on a port of its own, asked over HTTP and WebSocket.

mod acts;
mod compat;
mod dashboard;
mod events;
mod front;
mod gallery;
mod openapi;
mod rest;
pub mod served;
mod sockets;
mod stream;
