//! What the hot loop of each instruction set consists of, from the disassembly of this program: a figure without noise, which shows
//! at once what another compiler has made of the same code.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, ensure};
use benches::figures::{Figures, Unit};
use worker::backend::cpu::{InstructionSet, available};

/// How often the inner loop of a rolled search runs for each of the outer one.
const TIMES: usize = 2;

/// One instruction of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Instruction {
    address: u64,
    mnemonic: String,
    operands: String,
}

impl Instruction {
    /// Where it may jump to within its function.
    fn target(&self) -> Option<u64> {
        let is_jump = self.mnemonic.starts_with('j');
        let target = self.operands.split_whitespace().next()?;
        is_jump.then(|| u64::from_str_radix(target.trim_start_matches("0x"), 16).ok())?
    }

    /// Whether it writes to the stack. In AT&T's order the destination is last.
    fn is_stack_store(&self) -> bool {
        let is_move = self.mnemonic.contains("mov");
        let operands = self.operands.split('#').next().unwrap_or_default().trim_end();
        is_move && (operands.ends_with("(%rsp)") || operands.ends_with("(%rbp)"))
    }
}

/// What the loop of a search comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HotLoop {
    instructions: usize,
    stack_stores: usize,
}

/// Counts the instructions of one pass of each search, for each nonce that it tries.
pub(crate) fn measure(figures: &mut Figures) -> anyhow::Result<()> {
    let program = std::env::current_exe()?;
    let mut objdump = Command::new("objdump");
    objdump.args(["-d", "--no-show-raw-insn"]).arg(&program);
    let output = objdump.output().context("objdump (Debian: binutils) cannot be run")?;
    ensure!(output.status.success(), "objdump: {}", String::from_utf8_lossy(&output.stderr));
    let functions = functions(&String::from_utf8_lossy(&output.stdout));
    for set in available() {
        let (name, nonces) = entry(set.set());
        let body = functions.get(name).with_context(|| format!("this program has no function {name}"))?;
        let hot_loop = hot_loop(body).with_context(|| format!("{name} has no loop"))?;
        figures.begin(1, set.set().name());
        figures.add("instructions per nonce", Unit::Count, count(hot_loop.instructions) / nonces);
        figures.add("stack stores per nonce", Unit::Count, count(hot_loop.stack_stores) / nonces);
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}

/// The entry function of a search, and how many nonces one pass of its loop tries.
const fn entry(set: InstructionSet) -> (&'static str, f64) {
    match set {
        InstructionSet::Avx512 => ("search_avx512", 16.0),
        InstructionSet::Avx512Vl => ("search_avx512vl", 8.0),
        InstructionSet::Avx2 => ("search_avx2", 4.0),
        InstructionSet::NeonSha3 => ("search_neon_sha3", 2.0),
        InstructionSet::Neon => ("search_neon", 2.0),
        InstructionSet::Portable => ("search_portable", 1.0),
    }
}

/// The functions whose names begin with `search_`, without the rest of their mangled names.
fn functions(disassembly: &str) -> BTreeMap<String, Vec<Instruction>> {
    let mut functions = BTreeMap::<String, Vec<Instruction>>::new();
    let mut current = None;
    for line in disassembly.lines() {
        if let Some(symbol) =
            line.strip_suffix(">:").and_then(|line| line.split_once(" <")).map(|(_, name)| name)
        {
            current = last_part(symbol).filter(|name| name.starts_with("search_"));
        } else if let (Some(name), Some(instruction)) = (&current, instruction(line)) {
            functions.entry(name.clone()).or_default().push(instruction);
        }
    }
    functions
}

/// The last name with a length before it in a mangled symbol, the hash of the legacy form left aside.
fn last_part(symbol: &str) -> Option<String> {
    let mut parts = Vec::new();
    let mut rest = symbol;
    while let Some(start) = rest.find(|character: char| character.is_ascii_digit()) {
        rest = &rest[start..];
        let digits = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
        let length: usize = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        // The newer form has an underscore before names that begin with a digit or an underscore.
        match rest.get(..length) {
            Some(name) if length > 0 => {
                parts.push(name.to_owned());
                rest = &rest[length..];
            }
            _ => {}
        }
    }
    let is_hash = |name: &&String| name.len() == 17 && name.starts_with('h');
    parts.iter().rfind(|name| !is_hash(name)).cloned()
}

fn instruction(line: &str) -> Option<Instruction> {
    let (address, rest) = line.trim_start().split_once(":\t")?;
    let (mnemonic, operands) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
    let address = u64::from_str_radix(address, 16).ok()?;
    Some(Instruction { address, mnemonic: mnemonic.to_owned(), operands: operands.trim().to_owned() })
}

/// The loop with the most instructions, those of a loop within it as often as that one runs.
fn hot_loop(body: &[Instruction]) -> Option<HotLoop> {
    let back = body.iter().filter_map(|jump| Some((jump.target()?, jump.address)));
    let loops: Vec<(u64, u64)> = back.filter(|(target, address)| target <= address).collect();
    let inside =
        |(first, last): (u64, u64)| body.iter().filter(move |one| (first..=last).contains(&one.address));
    let outer = loops.iter().copied().max_by_key(|bounds| inside(*bounds).count())?;
    let is_within = |bounds: &&(u64, u64)| **bounds != outer && bounds.0 > outer.0 && bounds.1 < outer.1;
    let inner = loops.iter().filter(is_within).copied().max_by_key(|bounds| inside(*bounds).count());
    let count = |is_counted: &dyn Fn(&Instruction) -> bool| {
        let once = inside(outer).filter(|one| is_counted(one)).count();
        let again = inner.map_or(0, |inner| inside(inner).filter(|one| is_counted(one)).count());
        once + (TIMES - 1) * again
    };
    Some(HotLoop { instructions: count(&|_| true), stack_stores: count(&Instruction::is_stack_store) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
0000000000001000 <_ZN6worker7backend3cpu4avx211search_avx217h0123456789abcdefE>:
    1000:\tpush   %rbp
    1001:\tvmovdqa (%rdi),%ymm0
    1005:\tvpaddq %ymm0,%ymm1,%ymm2
    1009:\tvmovdqa %ymm2,0x20(%rsp)
    100d:\tvpaddq 0x40(%rsp),%ymm1,%ymm2
    1011:\tjmp    1005 <_ZN6worker+0x5>
    1013:\tret

0000000000002000 <_RNvNtNtNtCs1_6worker7backend3cpu6avx51213search_avx512>:
    2000:\tnop
    2001:\tvmovdqu64 %zmm0,(%rax)
    2007:\tvpaddq %zmm0,%zmm1,%zmm2
    200d:\tjne    2007 <x>
    200f:\tjb     2001 <x>
    2011:\tret
";

    #[test]
    fn loops_are_counted_with_what_is_within_them() {
        let functions = functions(TEXT);
        assert_eq!(functions.keys().collect::<Vec<_>>(), ["search_avx2", "search_avx512"]);
        assert_eq!(hot_loop(&functions["search_avx2"]), Some(HotLoop { instructions: 4, stack_stores: 1 }));
        // Four, and the two of the inner loop once more.
        assert_eq!(hot_loop(&functions["search_avx512"]), Some(HotLoop { instructions: 6, stack_stores: 0 }));
        assert_eq!(hot_loop(&functions["search_avx2"][..3]), None);
    }

    #[test]
    fn names_are_read_out_of_symbols() {
        assert_eq!(last_part("_ZN5shared3pow6verify17h0123456789abcdefE").as_deref(), Some("verify"));
        assert_eq!(last_part("main"), None);
    }
}
