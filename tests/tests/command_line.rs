//! What is generated from the command line's definition: completions and manual pages.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use e2e::{Home, Tool};

fn printed(home: &Home, arguments: &[&str]) -> anyhow::Result<String> {
    let finished = home.run(arguments)?;
    ensure!(finished.status.success(), "{arguments:?}: {}", finished.stderr);
    ensure!(finished.stderr.is_empty(), "{arguments:?}: {}", finished.stderr);
    Ok(finished.stdout)
}

/// Bash reads its script, and completes a command and a flag with it; for the other shells there is a script at least.
#[test]
fn shells_complete_commands_and_flags() -> anyhow::Result<()> {
    let home = Home::new()?;
    for (shell, beginning) in [
        ("zsh", "#compdef dpow"),
        ("fish", "# Print"),
        ("elvish", "\nuse builtin"),
        ("powershell", "\nusing "),
    ] {
        let script = printed(&home, &["completions", shell])?;
        assert!(script.starts_with(beginning), "{shell}: {}", script.lines().take(3).collect::<String>());
        assert!(script.contains("journal") && script.contains("token-file"), "{shell}");
    }
    let script = home.path().join("dpow.bash");
    fs::write(&script, printed(&home, &["completions", "bash"])?)?;
    if !Tool::Bash.is_there("completion in bash") {
        return Ok(());
    }
    let syntax = Tool::Bash.command().arg("-n").arg(&script).output()?;
    ensure!(syntax.status.success(), "{}", String::from_utf8_lossy(&syntax.stderr));
    for (words, wanted) in
        [("dpow cred", "credit"), ("dpow credit gr", "grant"), ("dpow service add --snip", "--snippets")]
    {
        let last = words.split(' ').next_back().unwrap_or_default();
        let number = words.split(' ').count() - 1;
        let test = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD={number}; _dpow dpow {last} ''; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        let output = Tool::Bash.command().args(["-c", &test]).output()?;
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), wanted, "{words}: {output:?}");
    }
    Ok(())
}

/// There is a page for each command, and groff has nothing to say against it.
#[test]
fn every_command_has_a_manual_page() -> anyhow::Result<()> {
    let home = Home::new()?;
    let folder = home.path().join("man");
    let said = printed(&home, &["man", "--out", &folder.display().to_string()])?;
    let pages: BTreeSet<String> = fs::read_dir(&folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<anyhow::Result<_>>()?;
    assert!(said.starts_with(&format!("{} pages in ", pages.len())), "{said}");
    for page in [
        "dpow.1",
        "dpow-serve.1",
        "dpow-service.1",
        "dpow-service-add.1",
        "dpow-credit-grant.1",
        "dpow-man.1",
    ] {
        assert!(pages.contains(page), "{page} of {pages:?}");
    }
    assert!(!pages.iter().any(|page| page.contains("help")), "{pages:?}");
    let is_formatted = Tool::Groff.is_there("manual pages with groff");
    for page in &pages {
        check_page(&folder.join(page), is_formatted)?;
    }
    Ok(())
}

fn check_page(path: &Path, is_formatted: bool) -> anyhow::Result<()> {
    let text = fs::read_to_string(path)?;
    let name = path.file_stem().and_then(OsStr::to_str).context("a name")?;
    for section in ["NAME", "SYNOPSIS", "DESCRIPTION"] {
        assert!(text.contains(&format!(".SH {section}")), "{name} has no {section}");
    }
    if is_formatted {
        let output = Tool::Groff.command().args(["-man", "-Tutf8", "-ww", "-z"]).arg(path).output()?;
        ensure!(
            output.status.success() && output.stderr.is_empty(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        // Without what a printer of letters needs for bold and underlined ones.
        let output = Tool::Groff.command().args(["-man", "-Tascii", "-P-cbou"]).arg(path).output()?;
        let page = String::from_utf8_lossy(&output.stdout);
        let words = page.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(&format!("NAME {name} - ")), "{page}");
    }
    Ok(())
}
