// SPDX-License-Identifier: GPL-2.0

//! The mounts: in sysfs, and in `/proc/self/mountinfo`.

use crate::event::Dev;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Where the kernel shows what it knows. Tests have other ones.
pub struct Roots {
    pub sysfs: PathBuf,
    pub mountinfo: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Roots {
            sysfs: "/sys".into(),
            mountinfo: "/proc/self/mountinfo".into(),
        }
    }
}

/// A mounted volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The name of the device: "vda", "dm-0".
    pub device: String,
    pub dev: Option<Dev>,
    /// Where it is mounted, as seen from here; the first one of several places.
    pub mounted_on: Option<PathBuf>,
    /// Its counters.
    pub dir: PathBuf,
}

/// What a device has in flight, of all users: reads, and writes.
pub type InFlight = (u64, u64);

/// All mounts, by the names of their devices. None while the module is not loaded.
pub fn list(roots: &Roots) -> io::Result<Vec<Mount>> {
    let dir = roots.sysfs.join("fs/retryfs");
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let places = mountpoints(&fs::read(&roots.mountinfo).unwrap_or_default());
    let mut mounts = Vec::new();
    for entry in entries {
        let Ok(device) = entry?.file_name().into_string() else {
            continue;
        };
        let dev = fs::read_to_string(roots.sysfs.join("class/block").join(&device).join("dev"))
            .ok()
            .and_then(|text| Dev::parse(&text));
        mounts.push(Mount {
            dir: dir.join(&device),
            mounted_on: dev.and_then(|dev| places.get(&dev).cloned()),
            device,
            dev,
        });
    }
    mounts.sort_by(|a, b| a.device.cmp(&b.device));
    Ok(mounts)
}

/// What the device of a mount has in flight, if it counts that.
pub fn in_flight(roots: &Roots, mount: &Mount) -> Option<InFlight> {
    let file = roots.sysfs.join("class/block").join(&mount.device);
    let text = fs::read_to_string(file.join("inflight")).ok()?;
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Where volumes of retryfs are mounted, as a whole.
fn mountpoints(mountinfo: &[u8]) -> BTreeMap<Dev, PathBuf> {
    let mut places = BTreeMap::new();
    for line in mountinfo.split(|b| *b == b'\n') {
        let fields: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
        // Optional fields end with a "-".
        let Some(dash) = fields.iter().position(|f| *f == b"-") else {
            continue;
        };
        if dash < 6 || fields.get(dash + 1) != Some(&&b"retryfs"[..]) || fields[3] != b"/" {
            continue;
        }
        let dev = std::str::from_utf8(fields[2]).ok().and_then(Dev::parse);
        if let Some(dev) = dev {
            places.entry(dev).or_insert_with(|| unescape(fields[4]));
        }
    }
    places
}

/// Undoes what the kernel does to blanks and backslashes in a path.
fn unescape(text: &[u8]) -> PathBuf {
    let mut path = Vec::new();
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        let octal = behind.get(..3).filter(|_| byte == b'\\');
        let octal = octal.and_then(|o| u8::from_str_radix(std::str::from_utf8(o).ok()?, 8).ok());
        match octal {
            Some(octal) => {
                path.push(octal);
                rest = &behind[3..];
            }
            None => path.push(byte),
        }
    }
    OsString::from_vec(path).into()
}

impl Mount {
    /// Whether it is the one that a user means: a device, by name or path, or a directory.
    pub fn is(&self, name: &str) -> bool {
        self.device == name
            || self.mounted_on.as_deref() == Some(Path::new(name))
            || fs::canonicalize(name).is_ok_and(|path| {
                path.parent() == Some(Path::new("/dev"))
                    && path.file_name().is_some_and(|f| *f == *self.device)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let text = b"\
22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 254:16 /sub /bind rw,relatime - retryfs /dev/vdb rw
31 22 254:16 / /mnt/a\\040b\\134 rw,relatime shared:1 master:2 - retryfs /dev/vdb rw
32 22 254:16 / /later rw - retryfs /dev/vdb rw
33 22 253:1 / /mnt/\\377 rw - retryfs /dev/mapper/x rw
broken line
";
        let places = mountpoints(text);
        let dev = |major, minor| Dev { major, minor };
        assert_eq!(places.len(), 2);
        assert_eq!(places[&dev(254, 16)], Path::new("/mnt/a b\\"));
        assert_eq!(
            places[&dev(253, 1)].as_os_str().as_encoded_bytes(),
            b"/mnt/\xff"
        );
    }

    #[test]
    fn mounts_of_a_tree() {
        let root = std::env::temp_dir().join(format!("retryfs-top-mounts-{}", std::process::id()));
        let roots = Roots {
            sysfs: root.join("sys"),
            mountinfo: root.join("mountinfo"),
        };
        assert_eq!(list(&roots).unwrap(), []);
        for name in ["vdb", "dm-0"] {
            fs::create_dir_all(roots.sysfs.join("fs/retryfs").join(name)).unwrap();
        }
        let block = roots.sysfs.join("class/block/vdb");
        fs::create_dir_all(&block).unwrap();
        fs::write(block.join("dev"), "254:16\n").unwrap();
        fs::write(block.join("inflight"), "       3        4\n").unwrap();
        fs::write(
            &roots.mountinfo,
            "1 2 254:16 / /m rw - retryfs /dev/vdb rw\n",
        )
        .unwrap();

        let mounts = list(&roots).unwrap();
        let names: Vec<_> = mounts.iter().map(|m| &m.device[..]).collect();
        assert_eq!(names, ["dm-0", "vdb"]);
        assert_eq!(in_flight(&roots, &mounts[0]), None);
        assert_eq!(in_flight(&roots, &mounts[1]), Some((3, 4)));
        assert!(mounts[1].is("vdb") && mounts[1].is("/m"));
        assert!(!mounts[1].is("/") && !mounts[1].is("dm-0"));
        assert_eq!(mounts[0].mounted_on, None);
        fs::remove_dir_all(&root).unwrap();
    }
}
