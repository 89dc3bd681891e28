//! The test support itself: servers start, forget or keep, and leave nothing behind.

use std::path::Path;

use sqlx::{Connection, Executor, PgConnection};

use crate::support::servers::{Disk, PostgresServer, RedisServer, create_database, fresh_database, shared_redis};

#[tokio::test]
async fn a_postgres_server_keeps_its_data_over_a_crash() {
    let mut server = PostgresServer::start(Disk::Durable);
    let url = create_database(&server.url()).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    connection.execute("create table kept (n int); insert into kept values (7)").await.unwrap();
    server.crash();
    assert!(PgConnection::connect(&url).await.is_err());
    server.start_again();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let n: i32 = sqlx::query_scalar("select n from kept").fetch_one(&mut connection).await.unwrap();
    assert_eq!(n, 7);
}

#[tokio::test]
async fn a_redis_server_keeps_its_data_over_a_kill_when_it_is_durable() {
    for (disk, kept) in [(Disk::Durable, Some(7)), (Disk::Fast, None)] {
        let mut server = RedisServer::start(disk, &[]);
        let client = redis::Client::open(server.url()).unwrap();
        redis::cmd("SET").arg("n").arg(7).exec(&mut client.get_connection().unwrap()).unwrap();
        server.kill();
        assert!(client.get_connection().is_err());
        server.start_again();
        let n: Option<i32> = redis::cmd("GET").arg("n").query(&mut client.get_connection().unwrap()).unwrap();
        assert_eq!(n, kept);
    }
}

#[tokio::test]
async fn two_tests_get_two_databases_and_one_redis() {
    assert_ne!(fresh_database().await, fresh_database().await);
    assert_eq!(shared_redis(), shared_redis());
}

#[test]
fn a_dropped_server_leaves_no_files() {
    let server = RedisServer::start(Disk::Durable, &[]);
    let dir: Vec<String> = redis::cmd("CONFIG")
        .arg("GET")
        .arg("dir")
        .query(&mut redis::Client::open(server.url()).unwrap().get_connection().unwrap())
        .unwrap();
    assert!(Path::new(&dir[1]).exists());
    drop(server);
    assert!(!Path::new(&dir[1]).exists());
}
