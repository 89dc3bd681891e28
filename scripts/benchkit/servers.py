"""Servers: a real Redis and PostgreSQL with their default, durable settings, and the embedded chain."""

import glob
import os
import shutil
import subprocess

from .stage import Failed, free_port, listens, say


def program(name):
    """A program of PATH, or of PostgreSQL's folders on Debian, the newest version first."""
    found = shutil.which(name)
    if found:
        return found
    for path in sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True):
        return path
    raise Failed(f"there is no {name} on this machine: scripts/install test installs what is needed")


class Redis:
    def __init__(self, stage):
        self.port = free_port()
        folder = stage.dir / "redis"
        folder.mkdir()
        self.process = stage.start("redis", [program("redis-server"), "--port", self.port, "--dir", folder])
        stage.until(self.process, lambda: listens(self.port))
        self.url = f"redis://127.0.0.1:{self.port}"

    def empty(self):
        subprocess.run([program("redis-cli"), "-p", str(self.port), "flushall"], check=True, stdout=subprocess.DEVNULL)


class Postgres:
    def __init__(self, stage):
        self.port, self.stage, self.count = free_port(), stage, 0
        # PostgreSQL refuses to run as root; Debian's package brings a user for it.
        self.user = "postgres" if os.geteuid() == 0 else None
        folder = stage.dir / "postgres"
        folder.mkdir()
        if self.user:
            shutil.chown(folder, self.user, self.user)
        init = [program("initdb"), "-D", folder / "data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale"]
        made = subprocess.run(init, cwd=folder, user=self.user, group=self.user, capture_output=True, text=True)
        if made.returncode != 0:
            raise Failed(f"initdb: {made.stderr}")
        server = [program("postgres"), "-D", folder / "data", "-p", self.port, "-h", "127.0.0.1", "-k", folder]
        self.process = stage.start("postgres", server, user=self.user, cwd=folder)
        stage.until(self.process, lambda: listens(self.port) and self.answers())

    def psql(self, statement, database="postgres"):
        """What a statement prints, without decoration."""
        command = [program("psql"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database,
                   "-v", "ON_ERROR_STOP=1", "-qAtX"]
        ran = subprocess.run(command, input=statement, capture_output=True, text=True)
        if ran.returncode != 0:
            raise Failed(f"psql: {ran.stderr.strip()}")
        return ran.stdout.strip()

    def answers(self):
        try:
            return self.psql("select 1") == "1"
        except Failed:
            return False

    def fresh(self):
        """An empty database, after the last one is gone and what it left in memory is on the disk."""
        if self.count:
            self.psql(f"drop database if exists bench{self.count} with (force)")
        self.count += 1
        self.psql(f"create database bench{self.count}")
        self.psql("checkpoint")
        return f"bench{self.count}"

    def url(self, database):
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"


class Chain:
    """The embedded chain in a process of its own, so that what it costs is not taken for the daemon's."""

    def __init__(self, stage, binary, slot_time="1s"):
        self.rpc_port, ws_port = free_port(), free_port()
        # Wallets whose key files are here when it starts have money.
        self.keys = stage.dir / "keys"
        for name in ("first", "second", "third", "fourth", "fifth"):
            made = subprocess.run([binary, "wallet", "new", "--config", "localnet", "--dir", self.keys, name],
                                  cwd=stage.dir, capture_output=True, text=True)
            if made.returncode != 0:
                raise Failed(f"wallet new: {made.stderr.strip()}")
        command = [binary, "localnet", "--keys", self.keys, "--slot-time", slot_time, "--rpc-port", self.rpc_port,
                   "--ws-port", ws_port]
        self.process = stage.start("chain", command, env={"SWAPD_LOG": "warn"})
        say("start an embedded chain")
        stage.until(self.process, lambda: listens(self.rpc_port) and listens(ws_port), patience=120)
        self.rpc, self.ws = f"http://127.0.0.1:{self.rpc_port}", f"ws://127.0.0.1:{ws_port}"
