//! Things break under traffic: no request that the policy allows fails, none that it denies gets through, no proxy goes back to an older
//! policy, and afterwards the newest one is in force everywhere. Each prints what it did and saw.
#![expect(clippy::print_stdout, reason = "the figures are for who reads the test's output")]

use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use meshwright_demo::launcher::{ControlPlane, ControlPlaneSpec, Environment};
use meshwright_e2e::chaos::{Account, CONVERGED, Clock, Cutter, SmallDisk, Traffic, documents, save, save_in};
use meshwright_e2e::configure;
use meshwright_e2e::pair::Pair;
use meshwright_test_support as support;
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

const SEED: u64 = 20;
const KILLS: u32 = 100;

/// Ends the traffic, and has everybody agree on the policy of `turn`.
async fn converged(what: &str, mesh: &Pair, traffic: Traffic, turn: u32) -> anyhow::Result<Account> {
    traffic.sees(turn, CONVERGED).await?;
    let answer = mesh.control_plane.connected(2, CONVERGED).await?;
    anyhow::ensure!(answer.get("enforced") == Some(&true.into()), "{answer}");
    let account = traffic.stop().await?;
    println!(
        "{what}: {} requests, {} failed, {} let through, {} decided by an older policy; policy {turn} in force",
        account.requests,
        account.failed.len(),
        account.let_through.len(),
        account.went_back.len()
    );
    account.clean()?;
    Ok(account)
}

fn same_ports(mesh: &Pair) -> ControlPlaneSpec {
    ControlPlaneSpec { xds: mesh.control_plane.xds(), admin: mesh.control_plane.admin(), ..meshwright_e2e::any_ports() }
}

/// Some moment: the point of these tests is that it is any.
async fn moment(random: &mut StdRng, most: u64) {
    tokio::time::sleep(Duration::from_millis(random.random_range(0..most))).await;
}

#[tokio::test]
async fn a_control_plane_that_is_killed_at_any_moment() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let network = support::network();
    let mut mesh = Pair::start(environment.clone(), network, &documents(network, 0)).await?;
    let traffic = Traffic::start(&mesh.calls()?, 0);
    let spec = same_ports(&mesh);
    let mut random = StdRng::seed_from_u64(SEED);
    for turn in 1..=KILLS {
        traffic.may_see(turn);
        save(&environment, network, turn)?;
        moment(&mut random, 100).await;
        mesh.control_plane.process().kill().await?;
        if turn % 4 == 0 {
            // Also in the middle of a start.
            let mut starting = ControlPlane::spawn(&environment, spec).await?;
            moment(&mut random, 150).await;
            starting.kill().await?;
        }
        mesh.control_plane = ControlPlane::start(&environment, spec).await?;
        if turn % 20 == 0 {
            traffic.sees(turn, CONVERGED).await?;
        }
    }
    converged(&format!("{KILLS} kills (seed {SEED})"), &mesh, traffic, KILLS).await?;
    mesh.stop().await
}

#[tokio::test]
async fn a_control_plane_that_hangs() -> anyhow::Result<()> {
    const STOPS: u32 = 3;
    let (_folder, environment) = support::environment()?;
    let network = support::network();
    let mut mesh = Pair::start(environment.clone(), network, &documents(network, 0)).await?;
    let traffic = Traffic::start(&mesh.calls()?, 0);
    for turn in 1..=STOPS {
        mesh.control_plane.process().signal(Signal::SIGSTOP)?;
        traffic.may_see(turn);
        save(&environment, network, turn)?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(traffic.newest() < turn, "a stopped process published a policy");
        mesh.control_plane.process().signal(Signal::SIGCONT)?;
        traffic.sees(turn, CONVERGED).await?;
    }
    converged(&format!("{STOPS} SIGSTOPs of 2 s"), &mesh, traffic, STOPS).await?;
    mesh.stop().await
}

#[tokio::test]
async fn a_directory_that_is_swapped_torn_and_emptied() -> anyhow::Result<()> {
    const SWAPS: u32 = 40;
    let (_folder, environment) = support::environment()?;
    let network = support::network();
    let generation = |turn: u32| environment.folder.join(format!("config-{turn}"));
    save_in(&generation(0), network, 0)?;
    symlink(generation(0), environment.config_dir())?;
    let mesh = Pair::start(environment.clone(), network, &documents(network, 0)).await?;
    let traffic = Traffic::start(&mesh.calls()?, 0);
    let mut random = StdRng::seed_from_u64(SEED);
    for turn in 1..=SWAPS {
        traffic.may_see(turn);
        save_in(&generation(turn), network, turn)?;
        match turn % 4 {
            0 => tear(&environment.config_dir().join("mesh.yaml"), &documents(network, turn), &mut random).await?,
            1 => {
                // An empty directory for a while, as a volume that is mounted late.
                let empty = environment.folder.join("empty");
                std::fs::create_dir_all(&empty)?;
                point(&environment, &empty)?;
                moment(&mut random, 150).await;
            }
            _ => {}
        }
        point(&environment, &generation(turn))?;
        moment(&mut random, 150).await;
    }
    converged(&format!("{SWAPS} swaps of the directory (seed {SEED})"), &mesh, traffic, SWAPS).await?;
    mesh.stop().await
}

/// The configuration directory is now `folder`; at no time is it none.
fn point(environment: &Environment, folder: &Path) -> anyhow::Result<()> {
    let beside = environment.folder.join("config.new");
    symlink(folder, &beside)?;
    Ok(std::fs::rename(beside, environment.config_dir())?)
}

/// Writes a file in place and in pieces, as a careless editor does.
async fn tear(file: &Path, text: &str, random: &mut StdRng) -> anyhow::Result<()> {
    for _ in 0..3 {
        let torn: Vec<u8> = text.bytes().take(random.random_range(0..text.len())).collect();
        std::fs::write(file, torn)?;
        moment(random, 60).await;
    }
    Ok(std::fs::write(file, text)?)
}

#[tokio::test]
async fn a_data_directory_on_a_full_disk() -> anyhow::Result<()> {
    const TURNS: u32 = 6;
    let (_folder, environment) = support::environment()?;
    let network = support::network();
    let disk = SmallDisk::mount(512).await?;
    let data = disk.path().join("data");
    std::fs::DirBuilder::new().mode(0o700).create(&data)?;
    symlink(data, environment.data_dir())?;
    let mut mesh = Pair::start(environment.clone(), network, &documents(network, 0)).await?;
    let traffic = Traffic::start(&mesh.calls()?, 0);
    let spec = same_ports(&mesh);
    for turn in 1..=TURNS {
        disk.fill()?;
        traffic.may_see(turn);
        save(&environment, network, turn)?;
        traffic.sees(turn, CONVERGED).await?;
        let token = environment.folder.join("late.token");
        let refused = environment.join_token("test", "client", &token).await.unwrap_err().to_string();
        assert!(refused.contains("No space left"), "{refused}");
        // What is on the full disk is whole: it can be started from.
        mesh.control_plane.process().kill().await?;
        mesh.control_plane = ControlPlane::start(&environment, spec).await?;
        disk.free()?;
        environment.join_token("test", "client", &token).await?;
        std::fs::remove_file(token)?;
    }
    converged(&format!("{TURNS} times a full disk"), &mesh, traffic, TURNS).await?;
    mesh.stop().await
}

#[tokio::test]
async fn connections_that_are_cut_at_any_byte() -> anyhow::Result<()> {
    const TURNS: u32 = 60;
    let (_folder, environment) = support::environment()?;
    let network = support::network();
    save(&environment, network, 0)?;
    let control_plane = ControlPlane::start(&environment, meshwright_e2e::any_ports()).await?;
    let cutter = Cutter::start(vec![control_plane.xds()], SEED).await?;
    let mesh = Pair::behind(environment.clone(), network, control_plane, cutter.address()).await?;
    let traffic = Traffic::start(&mesh.calls()?, 0);
    let mut random = StdRng::seed_from_u64(SEED);
    cutter.cut_at_random(true);
    cutter.cut_all();
    for turn in 1..=TURNS {
        traffic.may_see(turn);
        save(&environment, network, turn)?;
        moment(&mut random, 300).await;
        if turn % 10 == 0 {
            cutter.cut_all();
        }
    }
    cutter.cut_at_random(false);
    let what = format!("{} of {} connections cut at a random byte (seed {SEED})", cutter.cuts(), cutter.connections());
    assert!(cutter.cuts() > 0, "{what}");
    converged(&what, &mesh, traffic, TURNS).await?;
    mesh.stop().await
}

#[tokio::test]
async fn a_policy_that_is_broken_when_the_control_plane_starts() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let network = support::network();
    let mut mesh = Pair::start(environment.clone(), network, &documents(network, 0)).await?;
    let traffic = Traffic::start(&mesh.calls()?, 0);
    let spec = same_ports(&mesh);
    let broken = documents(network, 1).replace("action: ALLOW", "action: PERHAPS");
    configure(&environment, &broken)?;
    mesh.control_plane.process().kill().await?;
    mesh.control_plane = ControlPlane::start(&environment, spec).await?;
    mesh.control_plane.connected(2, CONVERGED).await?;
    let status = mesh.control_plane.status().await?;
    let kept = status.pointer("/quarantined/0/last_good");
    assert_eq!(kept, Some(&true.into()), "{status}");
    traffic.may_see(2);
    save(&environment, network, 2)?;
    converged("a broken policy at start", &mesh, traffic, 2).await?;
    mesh.stop().await
}

#[tokio::test]
async fn a_replica_that_lags_behind() -> anyhow::Result<()> {
    const TURNS: u32 = 8;
    let (_folder, environment) = support::environment()?;
    let network = support::network();
    save(&environment, network, 0)?;
    let ahead = ControlPlane::start(&environment, meshwright_e2e::any_ports()).await?;
    // The other replica has the same authority, and documents that come to it later.
    let other = Environment { folder: environment.folder.join("other"), ..environment.clone() };
    save(&other, network, 0)?;
    copy(&environment.data_dir(), &other.data_dir())?;
    let behind = ControlPlane::start(&other, meshwright_e2e::any_ports()).await?;
    let cutter = Cutter::start(vec![ahead.xds(), behind.xds()], SEED).await?;
    let mesh = Pair::behind(environment.clone(), network, ahead, cutter.address()).await?;
    let traffic = Traffic::start(&mesh.calls()?, 0);
    cutter.alternate();
    for turn in 1..=TURNS {
        traffic.may_see(turn);
        save(&environment, network, turn)?;
        // Each connection goes to the other replica than the one before: some proxies have the new policy, and come to where it is not yet.
        for _ in 0..4 {
            cutter.cut_all();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        save(&other, network, turn)?;
        traffic.sees(turn, CONVERGED).await?;
    }
    let held = behind.lines().iter().filter(|line| line.contains("has been further than this replica")).count();
    assert!(held > 0, "no proxy came to the late replica with something newer");
    let what = format!("two replicas in turn, one late: {} connections, {held} held by the late one", cutter.connections());
    traffic.sees(TURNS, CONVERGED).await?;
    let account = traffic.stop().await?;
    println!("{what}; {} requests, {} decided by an older policy", account.requests, account.went_back.len());
    account.clean()?;
    mesh.stop().await?;
    behind.into_process().stop().await.map(|_| ())
}

#[tokio::test]
async fn a_clock_that_jumps() -> anyhow::Result<()> {
    const HOUR: i64 = 3600;
    let (_folder, environment) = support::environment()?;
    let network = support::network();
    let (clock, by_the_clock) = Clock::start(&environment)?;
    save(&environment, network, 0)?;
    let control_plane = ControlPlane::start(&by_the_clock, meshwright_e2e::any_ports()).await?;
    let xds = control_plane.xds();
    let mut mesh = Pair::behind(environment.clone(), network, control_plane, xds).await?;
    let traffic = Traffic::start(&mesh.calls()?, 0);
    let spec = same_ports(&mesh);
    let mut turn = 0;
    for wrong_by in [HOUR, -HOUR, 20 * HOUR, -20 * HOUR, 400 * 24 * HOUR] {
        clock.is_wrong_by(wrong_by)?;
        turn += 1;
        traffic.may_see(turn);
        save(&environment, network, turn)?;
        traffic.sees(turn, CONVERGED).await?;
        if wrong_by == 20 * HOUR {
            // It issues its own certificate for tomorrow, which nobody takes today; the clock being right again, it must not go on with that.
            mesh.control_plane.process().kill().await?;
            mesh.control_plane = ControlPlane::start(&by_the_clock, spec).await?;
        }
        clock.is_wrong_by(0)?;
        turn += 1;
        traffic.may_see(turn);
        save(&environment, network, turn)?;
        traffic.sees(turn, CONVERGED).await?;
    }
    converged("5 jumps of the control plane's clock, and back", &mesh, traffic, turn).await?;
    mesh.stop().await
}

/// A data directory as a second replica gets it, with its modes.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    anyhow::ensure!(copied.success(), "`{}` cannot be copied", from.display());
    Ok(())
}
