//! Confines a child process: Landlock rules for files, no sockets, no privileges, no way to other
//! processes. Unprivileged; everything here is inherited by what the child starts.
#![allow(unsafe_code, reason = "system calls that no crate wraps")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use camino::Utf8Path;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, Scope,
};
use nix::libc;

use super::sandbox::Rules;

/// The newest rules that we know; a kernel that knows fewer takes those.
const KNOWN: ABI = ABI::V6;

/// What root may keep: files of other owners stay usable, other processes and devices do not.
const KEPT_CAPABILITIES: u32 = 1 << 0 | 1 << 1 | 1 << 3; // CHOWN, DAC_OVERRIDE, FOWNER (capabilities(7))

/// Which version of Landlock the kernel has; nothing when it has none, or it is switched off.
pub(crate) fn landlock_version() -> Option<i64> {
    const VERSION: libc::c_uint = 1;
    let nothing: *const libc::c_void = std::ptr::null();
    // SAFETY: with this flag the call reads no memory (landlock_create_ruleset(2)).
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, VERSION) };
    (version > 0).then_some(version)
}

/// Rules, ready to be taken by a child.
pub(crate) struct Confinement {
    ruleset: Option<OwnedFd>,
    filter: Vec<libc::sock_filter>,
}

impl Confinement {
    /// Prepares `rules`.
    ///
    /// # Errors
    /// The kernel refuses them.
    pub(crate) fn new(rules: &Rules) -> Result<Self> {
        let has_network = rules.network;
        let created = prepare(rules).context("cannot confine the build")?;
        let filter = if has_network { Vec::new() } else { no_sockets(!rules.ports.is_empty()) };
        Ok(Confinement { ruleset: created.into(), filter })
    }

    /// Takes the rules, in the child; between fork and exec, so only system calls.
    pub(crate) fn enter(&self) -> io::Result<()> {
        let check = |result: i64| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
        // SAFETY: system calls on numbers and on memory that lives as long as `self`.
        unsafe {
            check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).into())?;
            drop_capabilities()?;
            if let Some(ruleset) = &self.ruleset {
                check(libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0))?;
            }
            if !self.filter.is_empty() {
                let program = libc::sock_fprog {
                    len: self.filter.len() as libc::c_ushort,
                    filter: self.filter.as_ptr().cast_mut(),
                };
                check(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program).into())?;
            }
        }
        Ok(())
    }
}

fn prepare(rules: &Rules) -> Result<RulesetCreated> {
    let read = AccessFs::from_read(KNOWN);
    let all = AccessFs::from_all(KNOWN);
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?;
    if !rules.network {
        ruleset = ruleset.handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp)?;
    }
    let mut created = ruleset.create()?;
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    let list = BitFlags::from(AccessFs::ReadDir);
    for (paths, access) in [(&rules.read, read), (&rules.list, list), (&rules.write, all), (&rules.devices, device)] {
        for path in paths {
            created = allow(created, path, access)?;
        }
    }
    for port in &rules.ports {
        created = created.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    Ok(created)
}

fn allow(ruleset: RulesetCreated, path: &Utf8Path, access: BitFlags<AccessFs>) -> Result<RulesetCreated> {
    // What is not there needs no permission.
    let Ok(opened) = PathFd::new(path) else { return Ok(ruleset) };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(KNOWN) };
    if access.is_empty() {
        return Ok(ruleset);
    }
    Ok(ruleset.add_rule(PathBeneath::new(opened, access))?)
}

/// Drops what `KEPT_CAPABILITIES` has not, for good: with no new privileges, exec gives none back.
unsafe fn drop_capabilities() -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: libc::c_int,
    }
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    /// `_LINUX_CAPABILITY_VERSION_3`.
    const VERSION: u32 = 0x2008_0522;
    let header = Header { version: VERSION, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: both structures are what capget(2) and capset(2) describe.
    unsafe {
        if libc::syscall(libc::SYS_capget, &header, data.as_mut_ptr()) < 0 {
            return Err(io::Error::last_os_error());
        }
        let kept = KEPT_CAPABILITIES & data[0].permitted;
        data = [Data { effective: kept, permitted: kept, inheritable: 0 }, Data::default()];
        if libc::syscall(libc::SYS_capset, &header, data.as_ptr()) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// A seccomp program (seccomp(2)) that refuses sockets, since Landlock knows TCP alone: not UDP, and not
/// the sockets of local services, such as a container engine's. With `with_tcp` TCP is left to Landlock.
fn no_sockets(with_tcp: bool) -> Vec<libc::sock_filter> {
    #[cfg(target_arch = "x86_64")]
    const ARCHITECTURE: u32 = 0xc000_003e; // AUDIT_ARCH_X86_64
    #[cfg(target_arch = "aarch64")]
    const ARCHITECTURE: u32 = 0xc000_00b7; // AUDIT_ARCH_AARCH64
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return Vec::new();
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    {
        const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
        const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
        const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
        const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
        /// Numbers from here on are of the x32 calling convention.
        const X32: u32 = 0x4000_0000;
        /// Ways past the rules: into other processes, to what Landlock does not know, to a namespace where all is allowed.
        const REFUSED: [libc::c_long; 19] = [
            libc::SYS_io_uring_setup,
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_pidfd_getfd,
            libc::SYS_keyctl,
            libc::SYS_add_key,
            libc::SYS_request_key,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_mount,
            libc::SYS_msgget,
            libc::SYS_semget,
            libc::SYS_shmget,
            libc::SYS_mq_open,
            libc::SYS_open_by_handle_at,
        ];
        const PRLIMIT: u32 = libc::SYS_prlimit64 as u32;
        const SOCKET: u32 = libc::SYS_socket as u32;
        let step = |code: u16, jt: u8, jf: u8, k: u32| libc::sock_filter { code, jt, jf, k };
        // Offsets into `struct seccomp_data`: nr 0, arch 4, the arguments from 16 on, 8 bytes each.
        let tcp: &[libc::sock_filter] = match with_tcp {
            true => &[
                step(LOAD, 0, 0, 16),
                step(EQUAL, 1, 0, libc::AF_INET as u32),
                step(EQUAL, 0, 3, libc::AF_INET6 as u32),
                step(LOAD, 0, 0, 24),
                step(AND, 0, 0, 0xf),
                step(EQUAL, 1, 0, libc::SOCK_STREAM as u32),
            ],
            false => &[],
        };
        let numbers: Vec<u32> = REFUSED.iter().filter_map(|number| u32::try_from(*number).ok()).collect();
        // The steps after the head: one for each number, three for prlimit, one for sockets, those for TCP.
        let after = (numbers.len() + 3 + 1 + tcp.len()) as u8;
        let mut program = vec![
            step(LOAD, 0, 0, 4),
            step(EQUAL, 0, after + 2, ARCHITECTURE),
            step(LOAD, 0, 0, 0),
            step(AT_LEAST, after, 0, X32),
        ];
        for (at, number) in numbers.iter().enumerate() {
            program.push(step(EQUAL, after - at as u8 - 1, 0, *number));
        }
        // Limits of others are not theirs to set: the first argument is the process, 0 for oneself.
        let rest = 1 + tcp.len() as u8;
        program.push(step(EQUAL, 0, 2, PRLIMIT));
        program.push(step(LOAD, 0, 0, 16));
        program.push(step(EQUAL, rest + 1, rest, 0));
        program.push(step(EQUAL, 0, rest, SOCKET));
        program.extend_from_slice(tcp);
        program.push(step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EACCES as u32));
        program.push(step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
        program
    }
}
