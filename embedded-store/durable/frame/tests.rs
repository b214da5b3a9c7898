use super::*;

const RECORDS: [Record<'static>; 3] = [
    Record { kind: EventKind::Put, key: "/registry/pods/a/1", value: b"bytes", create_revision: 3, revision: 9 },
    Record { kind: EventKind::Delete, key: "/é", value: b"", create_revision: 1, revision: 10 },
    Record { kind: EventKind::Put, key: "", value: b"", create_revision: 11, revision: 11 },
];

fn frame() -> Vec<u8> {
    let mut bytes = vec![0; FRAME_HEADER];
    RECORDS.iter().for_each(|record| record.encode(&mut bytes));
    seal(&mut bytes, 77, 5, 1000);
    bytes
}

#[test]
fn reads_back_what_it_wrote() {
    let mut bytes = frame();
    let len = bytes.len();
    bytes.extend_from_slice(b"something older");
    let frame = Frame::decode(&bytes).unwrap();
    assert_eq!((frame.salt, frame.sequence, frame.ceiling, frame.len()), (77, 5, 1000, len));
    assert_eq!(frame.records().map(Option::unwrap).collect::<Vec<_>>(), RECORDS);

    let segment = Segment::new(5);
    assert_eq!(Segment::decode(&segment.encode()), Some(segment));
    assert_ne!(Segment::new(5).salt, segment.salt);
}

#[test]
fn every_changed_or_missing_byte_is_noticed() {
    let whole = frame();
    for at in 0..whole.len() {
        assert!(Frame::decode(&whole[..at]).is_none(), "cut at {at}");
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        assert!(Frame::decode(&changed).is_none(), "changed at {at}");
    }
    let head = Segment::new(5).encode();
    for at in 0..28 {
        let mut changed = head;
        changed[at] ^= 1;
        assert!(Segment::decode(&changed).is_none(), "changed at {at}");
    }
    assert!(Frame::decode(&[0; 4096]).is_none());
}

#[test]
fn a_record_that_claims_too_much_is_no_record() {
    let mut bytes = vec![0; FRAME_HEADER];
    RECORDS[0].encode(&mut bytes);
    bytes[FRAME_HEADER + 5] = 200;
    seal(&mut bytes, 1, 1, 1);
    let frame = Frame::decode(&bytes).unwrap();
    assert_eq!(frame.records().collect::<Vec<_>>(), [None]);
}
