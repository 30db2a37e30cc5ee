//! Writes MaxMind databases for tests: a tree, the data and the metadata. Written to be plain, not
//! to be fast.
//!
//! ```text
//!  [ tree: two records a node ][ 16 zeros ][ data ][ marker ][ metadata ]
//!
//!  a record below the number of nodes is a node, equal to it nothing, and above it data
//! ```

use std::net::IpAddr;

/// A value of the data section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Map(Vec<(&'static str, Self)>),
    Text(String),
    Number(u32),
    Flag(bool),
}

/// What a database is made of.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    /// 4, or 6 for both families.
    pub(crate) ip_version: u16,
    /// Bits of a record: 24, 28 or 32.
    pub(crate) record_size: u16,
    pub(crate) build_epoch: u64,
    pub(crate) networks: Vec<(IpAddr, u8, Value)>,
}

/// What a record of the tree says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Record {
    Nothing,
    Node(usize),
    Data(usize),
}

impl Database {
    /// Both families.
    pub(crate) fn new(networks: Vec<(IpAddr, u8, Value)>) -> Self {
        Self {
            ip_version: 6,
            record_size: 28,
            build_epoch: 1_796_083_200,
            networks,
        }
    }

    /// The file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut data = Vec::new();
        let mut tree = vec![[Record::Nothing; 2]];
        let mut networks: Vec<_> = self.networks.iter().collect();
        networks.sort_by_key(|(_, len, _)| *len);
        for (address, len, value) in networks {
            let record = Record::Data(data.len());
            value.write(&mut data);
            let path = self.path(*address, *len);
            put(&mut tree, &path, record);
        }
        if self.ip_version == 6 {
            alias_mapped(&mut tree);
        }
        let mut file = self.write_tree(&tree);
        file.extend([0; 16]);
        file.extend(data);
        file.extend(b"\xab\xcd\xefMaxMind.com");
        self.write_metadata(tree.len(), &mut file);
        file
    }

    /// The bits that lead to a network, the highest first.
    fn path(&self, address: IpAddr, len: u8) -> Vec<usize> {
        let (bits, len) = match (address, self.ip_version) {
            (IpAddr::V4(address), 4) => (u128::from(address.to_bits()) << 96, len),
            (IpAddr::V4(address), _) => (address.to_bits().into(), len + 96),
            (IpAddr::V6(address), _) => (address.to_bits(), len),
        };
        let bit = |place: u8| usize::from(bits >> (127 - place) & 1 == 1);
        (0..len).map(bit).collect()
    }

    fn write_tree(&self, tree: &[[Record; 2]]) -> Vec<u8> {
        let number = |record: Record| match record {
            Record::Nothing => small(tree.len()),
            Record::Node(node) => small(node),
            Record::Data(offset) => small(tree.len() + 16 + offset),
        };
        let mut file = Vec::new();
        for node in tree {
            let [left, right] = node.map(|record| number(record).to_be_bytes());
            match self.record_size {
                24 => file.extend([&left[1..], &right[1..]].concat()),
                28 => {
                    file.extend(&left[1..]);
                    file.push(left[0] << 4 | right[0]);
                    file.extend(&right[1..]);
                }
                _ => file.extend([left, right].concat()),
            }
        }
        file
    }

    fn write_metadata(&self, nodes: usize, file: &mut Vec<u8>) {
        let text = |text: &str| Value::Text(text.to_owned());
        control(7, 9, file);
        for (key, number) in [
            ("binary_format_major_version", 2),
            ("binary_format_minor_version", 0),
            ("ip_version", self.ip_version),
            ("record_size", self.record_size),
        ] {
            text(key).write(file);
            control(5, 2, file);
            file.extend(number.to_be_bytes());
        }
        text("node_count").write(file);
        Value::Number(small(nodes)).write(file);
        text("build_epoch").write(file);
        control(9, 8, file);
        file.extend(self.build_epoch.to_be_bytes());
        text("database_type").write(file);
        text("Test").write(file);
        text("description").write(file);
        Value::Map(vec![("en", text("Made for tests"))]).write(file);
        text("languages").write(file);
        control(11, 1, file);
        text("en").write(file);
    }
}

impl Value {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Map(fields) => {
                control(7, fields.len(), out);
                for (key, value) in fields {
                    Self::Text((*key).to_owned()).write(out);
                    value.write(out);
                }
            }
            Self::Text(text) => {
                control(2, text.len(), out);
                out.extend(text.as_bytes());
            }
            Self::Number(number) => {
                control(6, 4, out);
                out.extend(number.to_be_bytes());
            }
            Self::Flag(flag) => control(14, usize::from(*flag), out),
        }
    }
}

fn small(number: usize) -> u32 {
    number.try_into().unwrap()
}

/// Type and size of a value, which no test needs above 255. Types above 7 are written into a second byte.
fn control(kind: u8, size: usize, out: &mut Vec<u8>) {
    let size = u8::try_from(size).unwrap();
    let short = size.min(29);
    if kind > 7 {
        out.extend([short, kind - 7]);
    } else {
        out.push(kind << 5 | short);
    }
    if size >= 29 {
        out.push(size - 29);
    }
}

/// Puts a record at the end of a path. What covered the path before covers the rest of it still.
fn put(tree: &mut Vec<[Record; 2]>, path: &[usize], record: Record) {
    let Some((last, way)) = path.split_last() else {
        tree[0] = [record; 2];
        return;
    };
    let mut node = 0;
    for bit in way {
        node = match tree[node][*bit] {
            Record::Node(next) => next,
            before => {
                tree.push([before; 2]);
                tree[node][*bit] = Record::Node(tree.len() - 1);
                tree.len() - 1
            }
        };
    }
    tree[node][*last] = record;
}

/// Lets `::ffff:0:0/96` lead to where IPv4 is, as the databases in use do.
fn alias_mapped(tree: &mut Vec<[Record; 2]>) {
    let mut node = 0;
    for _ in 0..96 {
        match tree[node][0] {
            Record::Node(next) => node = next,
            _ => return,
        }
    }
    let path: Vec<_> = (0..96).map(|place| usize::from(place >= 80)).collect();
    put(tree, &path, Record::Node(node));
}
