//! Whose sockets are whose, by what Linux shows in `/proc` (proc(5)).

use std::collections::BTreeSet;
use std::path::Path;

use super::process::parent_and_group;

/// The state of a socket that listens (`TCP_LISTEN`).
const LISTENING: &str = "0A";

/// Whether the process `leader`, or one that it started, listens on a TCP port of this machine. Only of processes of
/// this user can that be known.
pub(crate) fn listens(leader: u32, port: u16) -> bool {
    let sockets: BTreeSet<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .flat_map(|table| listening(&std::fs::read_to_string(table).unwrap_or_default(), port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter(|process| is_below(&process.path(), leader))
        .flat_map(|process| std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten())
        .filter_map(|file| std::fs::read_link(file.path()).ok())
        .any(|target| target.to_str().is_some_and(|target| sockets.contains(target)))
}

/// Inodes of the sockets in `table` that listen on `port`.
fn listening(table: &str, port: u16) -> Vec<String> {
    let end = format!(":{port:04X}");
    let lines = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let found = lines.filter(|fields| fields.get(1).is_some_and(|local| local.ends_with(&end)));
    let found = found.filter(|fields| fields.get(3) == Some(&LISTENING));
    found.filter_map(|fields| fields.get(9).map(|inode| (*inode).to_owned())).collect()
}

/// Whether the process in `folder` is `leader`, in its group, or has it above.
fn is_below(folder: &Path, leader: u32) -> bool {
    let mut open = folder.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    while let Some(process) = open.filter(|process| *process > 1) {
        let found = parent_and_group(process);
        if process == leader || found.is_some_and(|(_, group)| group == leader) {
            return true;
        }
        open = found.map(|(parent, _)| parent);
    }
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::TcpListener;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_port_belongs_to_who_listens_on_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(listens(std::process::id(), port));
        let mut other = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        assert!(!listens(other.id(), port));
        other.kill().unwrap();
        other.wait().unwrap();
        drop(listener);
        assert!(!listens(std::process::id(), port));
    }
}
