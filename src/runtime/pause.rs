//! The sandbox image: a program that holds a pod's namespaces, and nothing else.
//!
//! The program ships as machine code assembled here, so that neither a registry nor a C toolchain is needed. It
//!
//! 1. ignores SIGCHLD, which makes the kernel reap its children itself: with a shared process namespace it is process 1 and
//!    inherits every orphan of the pod;
//! 2. blocks SIGINT and SIGTERM (blocked signals reach even a process 1, which default actions do not);
//! 3. waits for one of the two and exits with 0.

use crate::images::archive::{Archive, Entry};

/// Name of the sandbox image in containerd's store. Its number grows whenever the program changes.
pub const IMAGE: &str = "isopod.local/pause:1";

/// Processors the program exists for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    /// `amd64`
    X86_64,
    /// `arm64`
    Aarch64,
}

impl Arch {
    /// The one this program was built for.
    #[cfg(target_arch = "x86_64")]
    pub const HOST: Arch = Arch::X86_64;
    /// The one this program was built for.
    #[cfg(target_arch = "aarch64")]
    pub const HOST: Arch = Arch::Aarch64;

    /// Its name in image manifests.
    pub fn oci_name(self) -> &'static str {
        match self {
            Arch::X86_64 => "amd64",
            Arch::Aarch64 => "arm64",
        }
    }
}

/// The sandbox image as an OCI archive.
pub fn archive(arch: Arch) -> Vec<u8> {
    Archive {
        name: IMAGE.to_owned(),
        entries: vec![Entry::file("pause", 0o755, elf(arch))],
        entrypoint: vec!["/pause".to_owned()],
        arch: arch.oci_name(),
        ..Archive::default()
    }
    .build()
}

/// The program as a static ELF64 executable: one header, one readable and executable segment, code, two constants.
pub fn elf(arch: Arch) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let (machine, code) = match arch {
        Arch::X86_64 => (62_u16, x86_64()),
        Arch::Aarch64 => (183_u16, aarch64()),
    };
    let size = HEADERS + code.len() as u64;
    let mut elf = Vec::with_capacity(size as usize);
    // 64-bit, little-endian, version 1, System V.
    elf.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    elf.extend(2_u16.to_le_bytes()); // an executable at fixed addresses
    elf.extend(machine.to_le_bytes());
    elf.extend(1_u32.to_le_bytes());
    elf.extend((BASE + HEADERS).to_le_bytes()); // entry point: right behind the headers
    elf.extend(64_u64.to_le_bytes()); // program headers follow this one
    elf.extend(0_u64.to_le_bytes()); // no sections
    elf.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 64, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    elf.extend(1_u32.to_le_bytes()); // PT_LOAD
    elf.extend(5_u32.to_le_bytes()); // readable, executable
    for word in [0, BASE, BASE, size, size, 0x1000_u64] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(code);
    elf
}

const SIGCHLD: u8 = 17;
/// SIGINT (2) and SIGTERM (15) as a kernel signal set.
const AWAITED: u64 = (1 << (2 - 1)) | (1 << (15 - 1));
/// The kernel's sigaction for "ignore": handler 1, then flags, restorer and mask, all zero.
const IGNORE: [u64; 4] = [1, 0, 0, 0];

/// The constants behind the code: the sigaction, then the signal set.
fn constants() -> impl Iterator<Item = u8> {
    IGNORE.into_iter().chain([AWAITED]).flat_map(u64::to_le_bytes)
}

fn x86_64() -> Vec<u8> {
    // Lengths are fixed, so the places of the constants are too.
    const CODE: usize = 96;
    const ACTION: usize = CODE;
    const SET: usize = CODE + 32;
    let mut code: Vec<u8> = Vec::new();
    // lea <register>, [rip + distance]: the distance counts from the next instruction.
    let lea = |code: &mut Vec<u8>, modrm: u8, target: usize| {
        code.extend([0x48, 0x8d, modrm]);
        let next = code.len() + 4;
        code.extend((target as i32 - next as i32).to_le_bytes());
    };
    const RSI: u8 = 0x35;
    const RDI: u8 = 0x3d;
    // rt_sigaction(SIGCHLD, &IGNORE, NULL, 8)
    code.extend([0xb8, 13, 0, 0, 0]); // mov eax, 13
    code.extend([0xbf, SIGCHLD, 0, 0, 0]); // mov edi, SIGCHLD
    lea(&mut code, RSI, ACTION);
    code.extend([0x31, 0xd2]); // xor edx, edx
    code.extend([0x41, 0xba, 8, 0, 0, 0]); // mov r10d, 8
    code.extend([0x0f, 0x05]); // syscall
    // rt_sigprocmask(SIG_BLOCK, &AWAITED, NULL, 8)
    code.extend([0xb8, 14, 0, 0, 0]); // mov eax, 14
    code.extend([0x31, 0xff]); // xor edi, edi
    lea(&mut code, RSI, SET);
    code.extend([0x31, 0xd2]); // xor edx, edx
    code.extend([0x41, 0xba, 8, 0, 0, 0]); // mov r10d, 8
    code.extend([0x0f, 0x05]); // syscall
    // wait: rt_sigtimedwait(&AWAITED, NULL, NULL, 8)
    let wait = code.len();
    code.extend([0xb8, 128, 0, 0, 0]); // mov eax, 128
    lea(&mut code, RDI, SET);
    code.extend([0x31, 0xf6]); // xor esi, esi
    code.extend([0x31, 0xd2]); // xor edx, edx
    code.extend([0x41, 0xba, 8, 0, 0, 0]); // mov r10d, 8
    code.extend([0x0f, 0x05]); // syscall
    code.extend([0x85, 0xc0]); // test eax, eax
    let back = wait as i64 - (code.len() as i64 + 2);
    code.extend([0x7e, back as i8 as u8]); // jle wait
    // exit_group(0)
    code.extend([0xb8, 231, 0, 0, 0]); // mov eax, 231
    code.extend([0x31, 0xff]); // xor edi, edi
    code.extend([0x0f, 0x05]); // syscall
    // Filled up with traps, so that the constants are aligned.
    assert!(code.len() <= CODE);
    code.resize(CODE, 0xcc);
    code.extend(constants());
    code
}

fn aarch64() -> Vec<u8> {
    const WORDS: usize = 24;
    const ACTION: usize = WORDS * 4;
    const SET: usize = WORDS * 4 + 32;
    const SVC: u32 = 0xd400_0001;
    let movz = |register: u32, value: u32| 0xd280_0000 | (value << 5) | register;
    // adr <register>, <target>, as seen from instruction number `at`.
    let adr = |register: u32, target: usize, at: usize| {
        let distance = (target - at * 4) as u32;
        0x1000_0000 | ((distance & 3) << 29) | ((distance >> 2) << 5) | register
    };
    let mut code: Vec<u32> = Vec::new();
    // rt_sigaction(SIGCHLD, &IGNORE, NULL, 8)
    code.extend([movz(8, 134), movz(0, SIGCHLD.into()), adr(1, ACTION, 2), movz(2, 0), movz(3, 8), SVC]);
    // rt_sigprocmask(SIG_BLOCK, &AWAITED, NULL, 8)
    code.extend([movz(8, 135), movz(0, 0), adr(1, SET, 8), movz(2, 0), movz(3, 8), SVC]);
    // wait: rt_sigtimedwait(&AWAITED, NULL, NULL, 8)
    let wait = code.len();
    code.extend([movz(8, 137), adr(0, SET, 13), movz(1, 0), movz(2, 0), movz(3, 8), SVC]);
    code.push(0x7100_001f); // cmp w0, #0
    let back = (wait as i32 - code.len() as i32) as u32;
    code.push(0x5400_000d | ((back & 0x7_ffff) << 5)); // b.le wait
    // exit_group(0)
    code.extend([movz(8, 94), movz(0, 0), SVC]);
    assert!(code.len() <= WORDS);
    code.resize(WORDS, 0xd420_0000); // brk #0
    code.into_iter().flat_map(u32::to_le_bytes).chain(constants()).collect()
}

#[cfg(test)]
mod tests;
