// SPDX-License-Identifier: GPL-2.0

//! Tests on images that mke2fs made, checked by e2fsck and read by debugfs.
//!
//! The tools have to be there; without them these tests fail.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use proptest::{prelude::*, test_runner::Config};

use super::{
    fuzz::poke,
    support::{descriptor_location, get16, get32},
    volume::{Error, Volume},
};
use crate::ext2::{
    bitmap::is_set,
    block_map::Mapping,
    geometry::ROOT_INO,
    inode::{Content, Device, FileType, InodeFlags},
    superblock::MountError,
    tuned::Tuned,
};

/// A directory that is removed at the end.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "retryfs-host-tests.{}.{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A tool of e2fsprogs, which an ordinary user may not have in the path.
pub(super) fn tool(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(name);
    command
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .env("LC_ALL", "C")
        // No configuration of the machine, but the defaults of e2fsprogs.
        .env("MKE2FS_CONFIG", "/nonexistent")
        .env("E2FSCK_CONFIG", "/nonexistent")
        .stdin(Stdio::null());
    command
}

pub(super) fn run(command: &mut Command) -> Output {
    match command.output() {
        Ok(output) => output,
        Err(error) => panic!("{:?}: {error}: e2fsprogs is needed", command.get_program()),
    }
}

fn run_ok(command: &mut Command) -> String {
    let output = run(command);
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

/// The features that mke2fs gives an ext2 by default.
pub(super) const DEFAULT: &str = "ext_attr,resize_inode,dir_index,filetype,sparse_super,large_file";

/// Makes an image of `kib` KiB with `mke2fs` and `args`; returns its path.
pub(super) fn mke2fs(scratch: &Scratch, kib: u32, args: &str) -> PathBuf {
    populated(scratch, kib, args, None)
}

/// Like [`mke2fs`], with the files in the directory `root`.
pub(super) fn populated(scratch: &Scratch, kib: u32, args: &str, root: Option<&Path>) -> PathBuf {
    let image = scratch.path("image");
    // How to ask for revision 0 depends on the version of mke2fs.
    let (args, old) = match args.strip_prefix("revision-0 ") {
        Some(rest) => (rest, true),
        None => (args, false),
    };
    if args.contains("lazy_itable_init=1") {
        fs::write(&image, vec![0xa5; (kib as usize) << 10]).unwrap();
    }
    run_ok(
        tool("mke2fs")
            .args(["-q", "-F"])
            .args(args.split_whitespace())
            .args(root.iter().flat_map(|root| [Path::new("-d"), root]))
            .arg(&image)
            .arg(format!("{kib}k")),
    );
    if old {
        debugfs(&image, "set_super_value rev_level 0\n");
        fsck(&image);
    }
    image
}

pub(super) fn mount(image: &Path) -> Volume {
    Volume::mount(fs::read(image).unwrap()).unwrap()
}

/// Lets e2fsck look for anything wrong.
pub(super) fn fsck(image: &Path) {
    run_ok(tool("e2fsck").arg("-fn").arg(image));
}

/// Writes the volume back, and lets e2fsck look at it.
fn unmount(volume: Volume, image: &Path) {
    fs::write(image, volume.unmount().unwrap()).unwrap();
    fsck(image);
}

pub(super) fn debugfs(image: &Path, commands: &str) -> String {
    let mut child = tool("debugfs")
        .args(["-w", "-f", "-"])
        .arg(image)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("debugfs is needed");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(commands.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    text
}

/// The content of a file as debugfs reads it.
fn dump(scratch: &Scratch, image: &Path, path: &str) -> Vec<u8> {
    let out = scratch.path("dump");
    let _ = fs::remove_file(&out);
    debugfs(image, &format!("dump \"{path}\" {}\n", out.display()));
    fs::read(&out).unwrap()
}

/// Bytes that differ from place to place.
fn pattern(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        })
        .collect()
}

/// The arguments for the kinds of volumes that have to work.
fn flavours() -> Vec<String> {
    let mut all = Vec::new();
    for block_size in [1024, 2048, 4096] {
        for inode_size in [128, 256] {
            all.push(format!(
                "-b {block_size} -I {inode_size} -O {DEFAULT} -g 4096"
            ));
        }
    }
    // Larger than a page.
    all.push(format!("-b 8192 -I 256 -O {DEFAULT} -g 512"));
    all.push(format!("-b 65536 -I 128 -O {DEFAULT}"));
    // Old ones, and some with other features.
    all.push("revision-0 -b 1024 -O none -I 128".to_owned());
    all.push("-b 4096 -O none -I 128".to_owned());
    all.push("-b 1024 -O none,filetype,sparse_super -g 1024".to_owned());
    all.push("-b 1024 -O none,sparse_super2,filetype -g 1024".to_owned());
    all.push(format!("-b 1024 -O {DEFAULT} -N 5000 -m 0"));
    all.push("-b 4096 -O has_journal,filetype,sparse_super,dir_index".to_owned());
    // The descriptors of 32 groups each are in the first of them, or from the second 32 on.
    let newer = "none,filetype,sparse_super,large_file,huge_file,dir_nlink,extra_isize";
    all.push(format!("-b 1024 -O {newer},meta_bg -g 256 -N 4000"));
    all.push("-b 1024 -O none,meta_bg -g 512 -I 128".to_owned());
    // Over what is not zero, in the images of these tests.
    all.push(format!(
        "-b 1024 -O {newer},uninit_bg -E nodiscard,lazy_itable_init=1 -g 1024"
    ));
    all.push("-b 4096 -O none,uninit_bg -E nodiscard,lazy_itable_init=1 -g 4096 -I 128".to_owned());
    all
}

/// A tree of files for `mke2fs -d`, and what is in it by path.
pub(super) fn sample_tree(scratch: &Scratch) -> (PathBuf, BTreeMap<String, Vec<u8>>) {
    let root = scratch.path("tree");
    let mut files = BTreeMap::new();
    let mut file = |path: &str, content: Vec<u8>| {
        let full = root.join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(&full, &content).unwrap();
        files.insert(path.to_owned(), content);
    };
    file("empty", vec![]);
    file("small", b"hello\n".to_vec());
    file("direct", pattern(1, 12 * 1024));
    file("single", pattern(2, 12 * 1024 + 1));
    file("double", pattern(3, 700_000));
    file("a/b/c/d/deep", pattern(4, 5000));
    for i in 0..150 {
        let name = format!("many/{i}-{}", "n".repeat(i));
        file(&name, pattern(i as u32, i));
    }
    let sparse = root.join("sparse");
    let handle = fs::File::create(&sparse).unwrap();
    for offset in [100, 13 << 10, 300 << 10, 70 << 20] {
        handle.write_all_at(&pattern(9, 100), offset).unwrap();
    }
    files.insert("sparse".to_owned(), fs::read(&sparse).unwrap());
    std::os::unix::fs::symlink("short/target", root.join("short-link")).unwrap();
    std::os::unix::fs::symlink("l".repeat(59), root.join("59-link")).unwrap();
    std::os::unix::fs::symlink("l".repeat(60), root.join("60-link")).unwrap();
    std::os::unix::fs::symlink("l".repeat(1000), root.join("long-link")).unwrap();
    fs::hard_link(root.join("small"), root.join("hard")).unwrap();
    files.insert("hard".to_owned(), b"hello\n".to_vec());
    (root, files)
}

#[test]
fn trees_made_by_mke2fs_are_read() {
    let scratch = Scratch::new();
    let (root, files) = sample_tree(&scratch);
    for args in flavours() {
        let image = populated(&scratch, 24 << 10, &args, Some(&root));
        debugfs(
            &image,
            "mknod pipe p\nmknod null c 1 3\nmknod disk b 8 1000\nmknod big c 300 60000\n",
        );
        let mut volume = mount(&image);
        for (path, content) in &files {
            let ino = volume.resolve(path).unwrap();
            assert!(
                volume.read(ino, u64::MAX).unwrap() == *content,
                "{args:?} {path}"
            );
        }
        let sparse = volume.resolve("sparse").unwrap();
        let block = u64::from(volume.geometry().sectors_per_block());
        assert!(volume.inode(sparse).unwrap().sectors < 100.max(8 * block));
        assert!(matches!(
            volume.map(sparse, 20, 1),
            Ok(Mapping::Hole { .. })
        ));
        let small = volume.resolve("small").unwrap();
        assert_eq!(volume.inode(small).unwrap().links, 2);
        assert_eq!(volume.resolve("hard").unwrap(), small);

        for (name, target) in [
            ("short-link", "short/target".to_owned()),
            ("59-link", "l".repeat(59)),
            ("60-link", "l".repeat(60)),
            ("long-link", "l".repeat(1000)),
        ] {
            let ino = volume.resolve(name).unwrap();
            let inode = volume.inode(ino).unwrap();
            assert_eq!(inode.file_type, FileType::Symlink);
            assert_eq!(inode.pointers().is_none(), target.len() < 60);
            assert_eq!(volume.read(ino, 4096).unwrap(), target.as_bytes());
        }
        for (name, content) in [
            ("pipe", Content::Nothing),
            ("null", Content::Device(Device { major: 1, minor: 3 })),
            (
                "disk",
                Content::Device(Device {
                    major: 8,
                    minor: 1000,
                }),
            ),
            (
                "big",
                Content::Device(Device {
                    major: 300,
                    minor: 60000,
                }),
            ),
        ] {
            let ino = volume.resolve(name).unwrap();
            assert_eq!(volume.inode(ino).unwrap().content, content, "{name}");
        }

        let typed = volume.geometry().has_filetype();
        for (name, ino, file_type) in volume.entries(ROOT_INO).unwrap() {
            let expected = volume.inode(ino).unwrap().file_type;
            assert_eq!(file_type, typed.then_some(expected), "{name:?}");
        }
        let many = volume.resolve("many").unwrap();
        assert_eq!(volume.entries(many).unwrap().len(), 152);
        assert!(matches!(volume.resolve("many/none"), Err(Error::NotFound)));
        assert!(matches!(volume.resolve("small/none"), Err(Error::NotFound)));
    }
}

#[test]
fn volumes_that_can_only_be_read_are_read() {
    let scratch = Scratch::new();
    let (root, files) = sample_tree(&scratch);
    // Checksums come with an unused entry at the end of each block of a directory.
    let features = "none,filetype,sparse_super,large_file,huge_file,dir_nlink,extra_isize";
    for more in ["metadata_csum"] {
        let args = format!("-b 1024 -O {features},{more}");
        let image = populated(&scratch, 24 << 10, &args, Some(&root));
        let mut volume = mount(&image);
        let names = volume.superblock.features.forbid_write().to_string();
        assert_eq!(names, more);
        for (path, content) in &files {
            let ino = volume.resolve(path).unwrap();
            assert!(volume.read(ino, u64::MAX).unwrap() == *content, "{path}");
        }
        let many = volume.resolve("many").unwrap();
        assert_eq!(volume.entries(many).unwrap().len(), 152);
    }
}

#[test]
fn volumes_that_were_resized_are_right() {
    let scratch = Scratch::new();
    let (root, files) = sample_tree(&scratch);
    // One block holds the descriptors of 32 groups, here of 512 KiB each.
    let args = format!("-b 1024 -O {DEFAULT} -g 512 -I 128");
    let image = populated(&scratch, 6 << 10, &args, Some(&root));
    for (kib, descriptor_blocks) in [(8 << 10, 1), (40 << 10, 3), (20 << 10, 2)] {
        run_ok(
            tool("resize2fs")
                .arg("-f")
                .arg(&image)
                .arg(format!("{kib}k")),
        );
        let mut volume = mount(&image);
        assert_eq!(volume.geometry().blocks_count(), kib);
        assert_eq!(volume.geometry().descriptor_blocks(), descriptor_blocks);
        for (path, content) in &files {
            let ino = volume.resolve(path).unwrap();
            assert!(volume.read(ino, u64::MAX).unwrap() == *content, "{path}");
        }
        let name = format!("new-{kib}");
        let new = volume.create(ROOT_INO, name.as_bytes()).unwrap();
        // Takes blocks of many groups, whose bitmaps are looked at.
        volume.write(new, 0, &pattern(kib, 1 << 20)).unwrap();
        volume.unlink(ROOT_INO, name.as_bytes()).unwrap();
        unmount(volume, &image);
    }
}

/// The numbers after `words` in the lines of `text` that contain them.
fn numbers(text: &str, words: &str) -> Vec<u32> {
    text.lines()
        .filter_map(|line| line.split_once(words))
        .map(|(_, rest)| {
            let rest = rest.trim_start();
            let end = rest.find(|c: char| !c.is_ascii_digit());
            rest[..end.unwrap_or(rest.len())].parse().unwrap()
        })
        .collect()
}

fn count_free(bits: &[u8], end: u32) -> u32 {
    (0..end).map(|bit| u32::from(!is_set(bits, bit))).sum()
}

#[test]
fn geometry_is_the_one_that_dumpe2fs_prints() {
    for args in flavours() {
        let scratch = Scratch::new();
        let image = mke2fs(&scratch, 60 << 10, &args);
        let text = run_ok(tool("dumpe2fs").arg(&image));
        let mut volume = mount(&image);
        let g = volume.geometry();
        let one = |words| numbers(&text, words)[0];
        assert_eq!(one("Block size:"), g.block_size());
        assert_eq!(one("Block count:"), g.blocks_count());
        assert_eq!(one("Inode count:"), g.inodes_count());
        assert_eq!(one("First block:"), g.group_first_block(0));
        assert_eq!(one("Blocks per group:"), g.blocks_per_group());
        assert_eq!(one("Inodes per group:"), g.inodes_per_group());
        assert_eq!(one("Inode blocks per group:"), g.inode_table_blocks());
        assert_eq!(
            one("Reserved block count:"),
            Tuned::read(&g, &volume.disk.bytes[1024..]).reserved_blocks
        );

        let mut supers = numbers(&text, "superblock at ");
        supers.sort_unstable();
        let expected: Vec<u32> = (0..g.groups())
            .filter(|&group| g.has_super(group))
            .map(|group| g.group_first_block(group))
            .collect();
        assert_eq!(supers, expected, "{args:?}");
        let mut descriptors = numbers(&text, "Group descriptors at ");
        descriptors.extend(numbers(&text, "Group descriptor at "));
        descriptors.sort_unstable();
        let supers = |group| u32::from(g.has_super(group));
        let with = (0..g.groups()).filter(|&group| g.base_metadata(group) > supers(group));
        let expected: Vec<u32> = with
            .map(|group| g.group_first_block(group) + supers(group))
            .collect();
        assert_eq!(descriptors, expected, "{args:?}");

        let block_bitmaps = numbers(&text, "Block bitmap at ");
        let inode_bitmaps = numbers(&text, "Inode bitmap at ");
        let inode_tables = numbers(&text, "Inode table at ");
        assert_eq!(block_bitmaps.len(), g.groups() as usize);
        let (mut free_blocks, mut free_inodes) = (0, 0);
        for group in 0..g.groups() {
            let i = group as usize;
            let (block, offset) = descriptor_location(&g, group).unwrap();
            let raw = &volume.disk.block(block)[offset as usize..];
            assert_eq!(get32(raw, 0), block_bitmaps[i]);
            assert_eq!(get32(raw, 4), inode_bitmaps[i]);
            assert_eq!(get32(raw, 8), inode_tables[i]);
            // The counters are those of the bitmaps.
            let counts = volume.disk.counts(group).unwrap();
            let bits = volume.disk.block(block_bitmaps[i]);
            let free = count_free(bits, g.group_blocks(group));
            assert_eq!(free, counts.free_blocks.into());
            let bits = volume.disk.block(inode_bitmaps[i]);
            let free = count_free(bits, g.inodes_per_group());
            assert_eq!(free, counts.free_inodes.into());
            free_blocks += u32::from(counts.free_blocks);
            free_inodes += u32::from(counts.free_inodes);
        }
        assert_eq!(one("Free blocks:"), free_blocks);
        assert_eq!(one("Free inodes:"), free_inodes);
        // What is not free is metadata or belongs to files: '/', 'lost+found', what is reserved.
        assert!(g.overhead() + free_blocks <= g.blocks_count());
        unmount(volume, &image);
    }
}

#[test]
fn what_cannot_be_mounted_says_why() {
    let refusal = |kib, args: &str| {
        let scratch = Scratch::new();
        let image = mke2fs(&scratch, kib, args);
        match Volume::mount(fs::read(image).unwrap()) {
            Err(Error::Mount(error)) => error.to_string(),
            other => panic!("{:?}", other.err()),
        }
    };
    assert_eq!(
        refusal(8192, "-O extent,64bit,flex_bg,filetype,metadata_csum"),
        "unsupported features: extent, 64bit, flex_bg"
    );
    assert_eq!(
        refusal(8192, "-O mmp,filetype"),
        "unsupported features: mmp"
    );

    let scratch = Scratch::new();
    let image = mke2fs(&scratch, 8192, &format!("-O {DEFAULT}"));
    let mut bytes = fs::read(&image).unwrap();
    bytes.truncate((8192 << 10) - 1);
    match Volume::mount(bytes.clone()) {
        Err(Error::Mount(MountError::Truncated { volume, device })) => {
            assert_eq!((volume, device), (8192 << 10, (8192 << 10) - 1));
        }
        other => panic!("{:?}", other.err()),
    }
    bytes.truncate(1500);
    assert!(Volume::mount(bytes).is_err());
    let zeros = Volume::mount(vec![0; 1 << 20]).err();
    assert!(matches!(zeros, Some(Error::Mount(MountError::NotExt2(0)))));

    // Features that forbid writing only.
    let image = mke2fs(&scratch, 8192, "-O quota,filetype,^resize_inode -b 1024");
    let names = mount(&image).superblock.features.forbid_write().to_string();
    assert_eq!(names, "quota");
}

#[test]
fn what_is_changed_here_is_right_for_e2fsck_and_debugfs() {
    for args in flavours() {
        let scratch = Scratch::new();
        let image = mke2fs(&scratch, 24 << 10, &args);
        let before = mount(&image).disk.totals().unwrap();
        let mut volume = mount(&image);
        let dir = volume.mkdir(ROOT_INO, b"dir").unwrap();
        let sub = volume.mkdir(dir, b"sub").unwrap();
        let big = volume.create(dir, b"big").unwrap();
        let content = pattern(7, 900_000);
        volume.write(big, 0, &content).unwrap();
        let sparse = volume.create(sub, b"sparse").unwrap();
        let mut sparse_content = vec![0; 70 << 20];
        for offset in [100usize, 13 << 10, 300 << 10, (70 << 20) - 100] {
            let piece = pattern(offset as u32, 100);
            sparse_content[offset..offset + 100].copy_from_slice(&piece);
            volume.write(sparse, offset as u64, &piece).unwrap();
        }
        for i in 0..200 {
            let name = format!("{i}-{}", "n".repeat(i % 100));
            volume.create(dir, name.as_bytes()).unwrap();
        }
        let exists = volume.create(dir, b"big");
        assert!(matches!(exists, Err(Error::Exists)));
        volume.symlink(dir, b"short", b"target").unwrap();
        volume.symlink(dir, b"long", &[b'l'; 1000]).unwrap();
        volume.link(sub, b"hard", big).unwrap();
        volume
            .mknod(dir, b"pipe", 0o10600, Content::Nothing)
            .unwrap();
        let device = Content::Device(Device {
            major: 300,
            minor: 70000,
        });
        volume.mknod(dir, b"device", 0o60600, device).unwrap();
        unmount(volume, &image);

        assert!(dump(&scratch, &image, "/dir/big") == content);
        assert!(dump(&scratch, &image, "/dir/sub/hard") == content);
        assert!(dump(&scratch, &image, "/dir/sub/sparse") == sparse_content);
        let stat = debugfs(&image, "stat /dir/device\n");
        assert!(
            stat.contains("(New-style) Device major/minor number: 300:70000"),
            "{stat}"
        );
        let stat = debugfs(&image, "stat /dir/short\n");
        assert!(stat.contains("Fast link dest: \"target\""), "{stat}");
        let stat = debugfs(&image, "stat /dir/big\n");
        let (user, group) = (0x12345, 0x23456);
        assert!(
            stat.contains("User:") && stat.contains(&user.to_string()),
            "{stat}"
        );
        assert!(stat.contains(&group.to_string()), "{stat}");

        // All of it away again, over a change of the tree.
        let mut volume = mount(&image);
        volume.rename(dir, b"sub", ROOT_INO, b"moved").unwrap();
        assert!(matches!(
            volume.rmdir(ROOT_INO, b"moved"),
            Err(Error::NotEmpty)
        ));
        for size in [800_000, 268 << 10, 20_000, 12 << 10, 5000] {
            volume.set_size(big, size).unwrap();
            assert!(volume.read(big, u64::MAX).unwrap() == content[..size as usize]);
        }
        volume.set_size(sparse, 50 << 20).unwrap();
        let mut mid = volume.clone();
        let _ = mid.set_size(sparse, 60 << 20);
        assert!(mid.read(sparse, u64::MAX).unwrap()[50 << 20..]
            .iter()
            .all(|&b| b == 0));
        unmount(mid, &image);

        volume.unlink(sub, b"hard").unwrap();
        volume.unlink(sub, b"sparse").unwrap();
        for (name, ..) in volume.entries(dir).unwrap() {
            if name != b"." && name != b".." {
                volume.unlink(dir, &name).unwrap();
            }
        }
        volume.rmdir(ROOT_INO, b"moved").unwrap();
        volume.rmdir(ROOT_INO, b"dir").unwrap();
        assert_eq!(volume.disk.totals().unwrap(), before, "{args:?}");
        unmount(volume, &image);
    }
}

#[test]
fn directories_with_an_index_are_read_and_changed() {
    let scratch = Scratch::new();
    let root = scratch.path("tree");
    fs::create_dir_all(root.join("dir")).unwrap();
    for i in 0..1500 {
        fs::write(root.join(format!("dir/file-number-{i}")), b"").unwrap();
    }
    let args = format!("-b 1024 -O {DEFAULT}");
    let image = populated(&scratch, 24 << 10, &args, Some(&root));
    // Builds the index; status 1 is "changed".
    let status = run(tool("e2fsck").arg("-fyD").arg(&image)).status;
    assert!(matches!(status.code(), Some(0 | 1)), "{status}");

    let mut volume = mount(&image);
    let dir = volume.resolve("dir").unwrap();
    assert!(volume.inode(dir).unwrap().flags.has(InodeFlags::INDEX));
    assert_eq!(volume.entries(dir).unwrap().len(), 1502);
    for i in 0..1500 {
        assert!(volume
            .lookup(dir, format!("file-number-{i}").as_bytes())
            .is_ok());
    }
    for i in 0..200 {
        volume.create(dir, format!("new-{i}").as_bytes()).unwrap();
        volume
            .unlink(dir, format!("file-number-{}", i * 7).as_bytes())
            .unwrap();
    }
    assert!(!volume.inode(dir).unwrap().flags.has(InodeFlags::INDEX));
    assert_eq!(volume.entries(dir).unwrap().len(), 1502);
    unmount(volume, &image);
}

#[test]
fn blocks_of_attributes_go_with_their_last_inode() {
    let scratch = Scratch::new();
    let image = mke2fs(&scratch, 8192, &format!("-b 1024 -I 128 -O {DEFAULT}"));
    let mut volume = mount(&image);
    let before = volume.disk.totals().unwrap();
    volume.create(ROOT_INO, b"file").unwrap();
    volume.symlink(ROOT_INO, b"link", b"target").unwrap();
    unmount(volume, &image);
    let value = scratch.path("value");
    fs::write(&value, [b'v'; 300]).unwrap();
    for name in ["file", "link"] {
        debugfs(
            &image,
            &format!("ea_set -f {} /{name} user.big\n", value.display()),
        );
    }
    fsck(&image);
    let mut volume = mount(&image);
    let link = volume.resolve("link").unwrap();
    let inode = volume.inode(link).unwrap();
    assert!(inode.file_acl != 0 && inode.sectors == 2);
    assert!(inode.pointers().is_none(), "still a short one");
    volume.unlink(ROOT_INO, b"file").unwrap();
    let mut half = volume.clone();
    unmount(half.clone(), &image);
    half.unlink(ROOT_INO, b"link").unwrap();
    assert_eq!(half.disk.totals().unwrap(), before);
    unmount(half, &image);
}

#[test]
fn the_last_block_and_the_last_inode() {
    for size in ["", "-g 512"] {
        let scratch = Scratch::new();
        let args = format!("-b 1024 -O {DEFAULT} -N 64 -m 0 {size}");
        let image = mke2fs(&scratch, 2000, &args);
        let mut volume = mount(&image);
        let file = volume.create(ROOT_INO, b"file").unwrap();
        let mut size = 0;
        let full = loop {
            match volume.write(file, size, &pattern(3, 10_000)) {
                Ok(()) => size += 10_000,
                Err(error) => break error,
            }
        };
        assert!(matches!(full, Error::NoSpace));
        assert_eq!(volume.disk.totals().unwrap().free_blocks, 0);
        assert!(matches!(
            volume.mkdir(ROOT_INO, b"dir"),
            Err(Error::NoSpace)
        ));
        let count = (0..1000)
            .take_while(|i| volume.create(ROOT_INO, format!("{i}").as_bytes()).is_ok())
            .count();
        assert!(count >= 40);
        unmount(volume.clone(), &image);
        volume.unlink(ROOT_INO, b"file").unwrap();
        let mut more = 0;
        while volume
            .create(ROOT_INO, format!("more{more}").as_bytes())
            .is_ok()
        {
            more += 1;
        }
        assert_eq!(volume.disk.totals().unwrap().free_inodes, 0);
        unmount(volume, &image);
    }
}

#[test]
fn large_files_set_the_feature() {
    let scratch = Scratch::new();
    let image = mke2fs(&scratch, 8192, "-b 4096 -O none,filetype,sparse_super");
    let mut volume = mount(&image);
    assert!(!volume.superblock.features.has_large_file());
    let file = volume.create(ROOT_INO, b"file").unwrap();
    volume.write(file, (3 << 30) - 5, b"12345").unwrap();
    unmount(volume, &image);
    let volume = mount(&image);
    assert!(volume.superblock.features.has_large_file());
}

#[derive(Clone, Debug)]
enum Op {
    Create(u8),
    Mkdir(u8),
    Write(u8, u64, usize),
    Truncate(u8, u64),
    Punch(u8, u64, u32),
    Unlink(u8),
    Rename(u8, u8),
    Symlink(u8, usize),
    Remount,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let offset = prop::sample::select(vec![
        0u64,
        3000,
        12 << 10,
        268 << 10,
        600 << 10,
        65_900 << 10,
    ]);
    let offset = (offset, 0..5000u64).prop_map(|(a, b)| a + b);
    prop::collection::vec(
        prop_oneof![
            3 => any::<u8>().prop_map(Op::Create),
            2 => any::<u8>().prop_map(Op::Mkdir),
            6 => (any::<u8>(), offset.clone(), 1..40_000usize).prop_map(|(a, b, c)| Op::Write(a, b, c)),
            3 => (any::<u8>(), offset.clone()).prop_map(|(a, b)| Op::Truncate(a, b)),
            2 => (any::<u8>(), offset, 1..60u32).prop_map(|(a, b, c)| Op::Punch(a, b, c)),
            3 => any::<u8>().prop_map(Op::Unlink),
            2 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Op::Rename(a, b)),
            1 => (any::<u8>(), 1..500usize).prop_map(|(a, b)| Op::Symlink(a, b)),
            1 => Just(Op::Remount),
        ],
        1..120,
    )
}

/// Fewer cases than usual, as each one makes and checks a volume; unless it is said how many.
fn few() -> Config {
    let mut config = Config::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 12;
    }
    config
}

/// What a file of the model is.
#[derive(Clone, Debug, PartialEq)]
enum Node {
    Dir,
    /// The size, and what was written where, in order.
    File(BTreeMap<u64, u8>, u64),
    Link(usize),
}

/// Splits a path into its directory and its name.
fn split(path: &str) -> (&str, &[u8]) {
    let (dir, name) = path.rsplit_once('/').unwrap();
    (dir, name.as_bytes())
}

proptest! {
    #![proptest_config(few())]

    /// Random changes, with a model beside them, and e2fsck at the end.
    #[test]
    fn random_changes_leave_a_right_volume(ops in ops(), flavour in 0..16usize) {
        let scratch = Scratch::new();
        let flavours = flavours();
        let image = mke2fs(&scratch, 12 << 10, &flavours[flavour % flavours.len()]);
        let mut volume = mount(&image);
        let mut model: BTreeMap<String, Node> = BTreeMap::new();
        model.insert(String::new(), Node::Dir);
        let pick = |model: &BTreeMap<String, Node>, n: u8, want: fn(&Node) -> bool| {
            let all: Vec<&String> =
                model.iter().filter(|(_, node)| want(node)).map(|(path, _)| path).collect();
            (!all.is_empty()).then(|| all[n as usize % all.len()].clone())
        };
        let is_dir = |node: &Node| *node == Node::Dir;
        let is_file = |node: &Node| matches!(node, Node::File(..));
        let mut count = 0;
        for op in ops {
            count += 1;
            match op {
                Op::Create(n) | Op::Mkdir(n) | Op::Symlink(n, _) => {
                    let dir = pick(&model, n, is_dir).unwrap();
                    let path = format!("{dir}/{count}{}", "x".repeat(n as usize % 60));
                    let parent = volume.resolve(&dir).unwrap();
                    let (_, name) = split(&path);
                    let (result, node) = match op {
                        Op::Create(_) => {
                            (volume.create(parent, name), Node::File(BTreeMap::new(), 0))
                        }
                        Op::Mkdir(_) => (volume.mkdir(parent, name), Node::Dir),
                        Op::Symlink(_, len) => {
                            (volume.symlink(parent, name, &vec![b'y'; len]), Node::Link(len))
                        }
                        _ => unreachable!(),
                    };
                    match result {
                        Ok(_) => {
                            model.insert(path, node);
                        }
                        Err(Error::NoSpace) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
                Op::Write(n, offset, len) => {
                    let Some(path) = pick(&model, n, is_file) else { continue };
                    let ino = volume.resolve(&path).unwrap();
                    let data = pattern(count, len);
                    let result = volume.write(ino, offset, &data);
                    let now = volume.inode(ino).unwrap().size;
                    let Some(Node::File(content, size)) = model.get_mut(&path) else { panic!() };
                    match result {
                        Ok(()) => assert_eq!(now, (*size).max(offset + len as u64)),
                        Err(Error::NoSpace) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                    // What was written before the space ended is in the file; a sample of it.
                    let written = if result.is_ok() { len as u64 } else { 0 };
                    for i in (0..written).step_by(509) {
                        content.insert(offset + i, data[i as usize]);
                    }
                    if result.is_err() {
                        content.retain(|&at, _| at < offset || at >= offset + len as u64);
                    } else {
                        content.retain(|&at, value| {
                            let i = at.wrapping_sub(offset);
                            i >= len as u64 || data[i as usize] == *value
                        });
                    }
                    *size = now;
                }
                Op::Truncate(n, new) => {
                    let Some(path) = pick(&model, n, is_file) else { continue };
                    let ino = volume.resolve(&path).unwrap();
                    volume.set_size(ino, new).unwrap();
                    let Some(Node::File(content, size)) = model.get_mut(&path) else { panic!() };
                    let old = *size;
                    content.retain(|&at, _| at < new);
                    if new > old {
                        content.insert(new - 1, 0);
                        content.insert(old, 0);
                    }
                    *size = new;
                }
                Op::Punch(n, offset, blocks) => {
                    let Some(path) = pick(&model, n, is_file) else { continue };
                    let ino = volume.resolve(&path).unwrap();
                    let bits = volume.geometry().block_bits();
                    let start = offset >> bits;
                    volume.punch(ino, start, blocks).unwrap();
                    let Some(Node::File(content, _)) = model.get_mut(&path) else { panic!() };
                    let end = (start + u64::from(blocks)) << bits;
                    for value in content.range_mut(start << bits..end).map(|(_, value)| value) {
                        *value = 0;
                    }
                }
                Op::Unlink(n) => {
                    let path = pick(&model, n, |_| true).unwrap();
                    if path.is_empty() {
                        continue;
                    }
                    let (dir, name) = split(&path);
                    let parent = volume.resolve(dir).unwrap();
                    if model[&path] == Node::Dir {
                        let inside = format!("{path}/");
                        let full = model.keys().any(|p| p.starts_with(&inside));
                        let result = volume.rmdir(parent, name);
                        assert_eq!(matches!(result, Err(Error::NotEmpty)), full);
                        if full {
                            continue;
                        }
                        result.unwrap();
                    } else {
                        volume.unlink(parent, name).unwrap();
                    }
                    model.remove(&path);
                }
                Op::Rename(n, m) => {
                    let from = pick(&model, n, |_| true).unwrap();
                    let to_dir = pick(&model, m, is_dir).unwrap();
                    let inside = format!("{from}/");
                    if from.is_empty() || to_dir == from || to_dir.starts_with(&inside) {
                        continue;
                    }
                    let to = format!("{to_dir}/r{count}");
                    let (dir, name) = split(&from);
                    let (parent, new_parent) =
                        (volume.resolve(dir).unwrap(), volume.resolve(&to_dir).unwrap());
                    match volume.rename(parent, name, new_parent, split(&to).1) {
                        Ok(()) => {}
                        Err(Error::NoSpace) => continue,
                        Err(error) => panic!("{error:?}"),
                    }
                    let moved: Vec<String> = model
                        .keys()
                        .filter(|p| **p == from || p.starts_with(&inside))
                        .cloned()
                        .collect();
                    for path in moved {
                        let node = model.remove(&path).unwrap();
                        model.insert(format!("{to}{}", &path[from.len()..]), node);
                    }
                }
                Op::Remount => volume = Volume::mount(volume.unmount().unwrap()).unwrap(),
            }
        }
        for (path, node) in &model {
            let ino = volume.resolve(path).unwrap();
            match node {
                Node::Dir => {
                    let children = model.keys().filter(|p| {
                        p.rsplit_once('/').is_some_and(|(dir, _)| dir == path)
                    });
                    let extra = if path.is_empty() { 3 } else { 2 };
                    assert_eq!(volume.entries(ino).unwrap().len(), children.count() + extra);
                }
                Node::File(content, size) => {
                    assert_eq!(volume.inode(ino).unwrap().size, *size);
                    let bytes = volume.read(ino, u64::MAX).unwrap();
                    for (&at, &value) in content {
                        assert_eq!(bytes[at as usize], value, "{path} at {at}");
                    }
                }
                Node::Link(len) => {
                    assert_eq!(volume.read(ino, u64::MAX).unwrap(), vec![b'y'; *len]);
                }
            }
        }
        unmount(volume, &image);
    }
}

#[test]
fn damage_is_named() {
    let scratch = Scratch::new();
    let (root, _) = sample_tree(&scratch);
    let args = format!("-b 1024 -O {DEFAULT}");
    let image = populated(&scratch, 8192, &args, Some(&root));
    let good = mount(&image);
    let first_block = |volume: &mut Volume, path: &str, file_block| {
        let ino = volume.resolve(path).unwrap();
        match volume.map(ino, file_block, 1).unwrap() {
            Mapping::Mapped { start, .. } => (ino, start),
            hole => panic!("{hole:?}"),
        }
    };
    let line = |error: Error| match error {
        Error::Corrupt(corrupt) => corrupt.to_string(),
        other => panic!("{other:?}"),
    };

    let mut volume = good.clone();
    let (dir, block) = first_block(&mut volume, "many", 1);
    volume.disk.block(block)[4] = 0;
    assert_eq!(
        line(volume.lookup(dir, b"none").unwrap_err()),
        format!("directory {dir}, offset 1024: entry shorter than possible (found 0)")
    );

    let mut volume = good.clone();
    let ino = volume.resolve("double").unwrap();
    let double = volume.inode(ino).unwrap().pointers().unwrap()[13];
    volume.disk.block(double)[..4].copy_from_slice(&3u32.to_le_bytes());
    assert_eq!(
        line(volume.read(ino, u64::MAX).unwrap_err()),
        format!("inode {ino}: block pointer into metadata (found 3)")
    );

    // A bitmap that would give away the inode table.
    let mut volume = good.clone();
    let (block, offset) = descriptor_location(&volume.geometry(), 0).unwrap();
    let bitmap = get32(&volume.disk.block(block)[offset as usize..], 0);
    volume.disk.block(bitmap)[0] = 0;
    let file = volume.resolve("empty").unwrap();
    assert_eq!(
        line(volume.write(file, 0, b"x").unwrap_err()),
        "group 0: block bitmap has metadata as free, by its index (found 0)"
    );
}

#[test]
fn damaged_volumes_never_panic() {
    let scratch = Scratch::new();
    let (root, _) = sample_tree(&scratch);
    let args = format!("-b 1024 -O {DEFAULT} -g 2048");
    let image = populated(&scratch, 6 << 10, &args, Some(&root));
    let good = fs::read(&image).unwrap();
    poke(good.clone());

    // Places that matter: superblock, descriptors, bitmaps, used inodes, directories, pointers.
    let mut places: Vec<std::ops::Range<usize>> = vec![1024..1024 + 0x108, 2048..2048 + 96];
    let mut volume = mount(&image);
    let g = volume.geometry();
    let mut add = |block: u32, len: usize| {
        let start = block as usize * 1024;
        places.push(start..start + len);
    };
    let (block, offset) = descriptor_location(&g, 0).unwrap();
    let raw = volume.disk.block(block)[offset as usize..].to_vec();
    add(get32(&raw, 0), 256);
    add(get32(&raw, 4), 32);
    for i in 0..8 {
        add(get32(&raw, 8) + i, 1024);
    }
    assert_eq!(get16(&good[1024..], 0x38), 0xef53);
    for path in ["", "many", "a"] {
        let ino = volume.resolve(path).unwrap();
        let Mapping::Mapped { start, .. } = volume.map(ino, 0, 1).unwrap() else {
            panic!();
        };
        add(start, 1024);
    }
    for path in ["double", "sparse"] {
        let ino = volume.resolve(path).unwrap();
        for &pointer in &volume.inode(ino).unwrap().pointers().unwrap()[12..] {
            if pointer != 0 {
                add(pointer, 200);
            }
        }
    }

    // More rounds, for who has the time: each is another one.
    let rounds = match std::env::var("DAMAGE_ROUNDS") {
        Ok(rounds) => rounds.parse().expect("DAMAGE_ROUNDS is a number"),
        Err(_) => 1500,
    };
    for round in 0..rounds {
        // Seen when this one fails.
        println!("round {round}");
        let mut state = pattern(round, 4)
            .iter()
            .fold(1u32, |n, &b| (n << 8) ^ u32::from(b));
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as usize % below
        };
        let mut bytes = good.clone();
        for _ in 0..1 + random(4) {
            let place = places[random(places.len())].clone();
            let at = place.start + random(place.len() - 3);
            match random(5) {
                0 => bytes[at] ^= 1 << random(8),
                1 => bytes[at] = random(256) as u8,
                2 => bytes[at..at + 4].fill(0),
                3 => bytes[at..at + 4].fill(0xff),
                _ => {
                    // A number that is that of some block, or of some inode.
                    let number = (random(6144) as u32).to_le_bytes();
                    let at = at & !3;
                    bytes[at..at + 4].copy_from_slice(&number);
                }
            }
        }
        poke(bytes);
    }
}
