//! Blobs in containerd's content store.

use std::collections::HashMap;

use bytes::Bytes;
use containerd_client::services::v1 as native;
use containerd_client::services::v1::{WriteAction, WriteContentRequest};
use prost_types::FieldMask;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Images, archive, call, unique};
use crate::{Error, Result};

/// A blob being written. Pieces are acknowledged one by one, so that no more than one is in memory here.
pub(super) struct BlobWriter<'a> {
    images: &'a Images,
    lease: &'a str,
    name: String,
    /// What its digest must be, if that is known beforehand.
    expected: Option<String>,
    size: u64,
    offset: u64,
    sha256: aws_lc_rs::digest::Context,
    stream: Option<Open>,
    /// The store has it already: what comes is only checked.
    present: bool,
}

struct Open {
    requests: mpsc::Sender<WriteContentRequest>,
    answers: tonic::Streaming<native::WriteContentResponse>,
}

impl<'a> BlobWriter<'a> {
    pub(super) fn new(images: &'a Images, lease: &'a str, expected: Option<String>, size: u64) -> Self {
        BlobWriter {
            images,
            lease,
            name: format!("isopod-import-{}", unique()),
            expected,
            size,
            offset: 0,
            sha256: aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256),
            stream: None,
            present: false,
        }
    }

    pub(super) async fn write(&mut self, data: Bytes) -> Result<()> {
        self.sha256.update(&data);
        let len = data.len() as u64;
        if !self.present {
            let request = WriteContentRequest {
                action: WriteAction::Write as i32,
                offset: self.offset.cast_signed(),
                data: data.into(),
                ..self.base()
            };
            self.exchange(request).await?;
        }
        self.offset += len;
        Ok(())
    }

    /// Makes the blob permanent and returns its digest.
    pub(super) async fn commit(mut self) -> Result<String> {
        if self.offset != self.size {
            return Err(Error::Archive(format!("a blob has {} bytes instead of {}", self.offset, self.size)));
        }
        let digest = archive::hex_digest(self.sha256.clone().finish());
        if self.expected.as_ref().is_some_and(|expected| *expected != digest) {
            self.abort().await;
            return Err(Error::Archive(format!(
                "the blob {} has the digest {digest}",
                self.expected.unwrap_or_default()
            )));
        }
        if !self.present {
            let request = WriteContentRequest {
                action: WriteAction::Commit as i32,
                offset: self.offset.cast_signed(),
                expected: digest.clone(),
                ..self.base()
            };
            self.exchange(request).await?;
        }
        Ok(digest)
    }

    /// Takes back what was written.
    pub(super) async fn abort(&mut self) {
        if self.stream.take().is_none() {
            return;
        }
        let request = native::AbortRequest { r#ref: self.name.clone() };
        // It would expire with the lease as well.
        let _ =
            call("content.abort", self.images.content().abort(self.images.request(request, Some(self.lease)))).await;
    }

    fn base(&self) -> WriteContentRequest {
        WriteContentRequest {
            r#ref: self.name.clone(),
            total: self.size.cast_signed(),
            expected: self.expected.clone().unwrap_or_default(),
            ..Default::default()
        }
    }

    async fn exchange(&mut self, request: WriteContentRequest) -> Result<()> {
        match self.send(request).await {
            Err(Error::AlreadyExists(_)) => {
                self.present = true;
                self.stream = None;
                Ok(())
            }
            other => other,
        }
    }

    async fn send(&mut self, request: WriteContentRequest) -> Result<()> {
        let (images, lease) = (self.images, self.lease);
        if self.stream.is_none() {
            let (requests, receiver) = mpsc::channel(1);
            // Into the channel's one place, before anybody reads from it.
            requests.send(request).await.map_err(|_| broken())?;
            let stream = images.request(ReceiverStream::new(receiver), Some(lease));
            let answers = call("content.write", images.content().write(stream)).await?;
            self.stream = Some(Open { requests, answers });
        } else if let Some(open) = &mut self.stream {
            // A closed channel means that the server has ended the call; its answer says why.
            let _ = open.requests.send(request).await;
        }
        let Some(open) = &mut self.stream else { return Err(broken()) };
        let answer = tokio::time::timeout(super::TIMEOUT, open.answers.message()).await;
        match answer {
            Err(_) => Err(Error::DeadlineExceeded { what: "content.write", after: super::TIMEOUT }),
            Ok(Err(status)) => Err(Error::from_status("content.write", super::TIMEOUT, status)),
            Ok(Ok(None)) => Err(broken()),
            Ok(Ok(Some(_))) => Ok(()),
        }
    }
}

fn broken() -> Error {
    Error::Unavailable("containerd ended the transfer of a blob".to_owned())
}

impl Images {
    /// Stores a small blob and returns its digest.
    pub(super) async fn put_blob(&self, bytes: Vec<u8>, lease: &str) -> Result<String> {
        let mut writer = BlobWriter::new(self, lease, Some(archive::digest(&bytes)), bytes.len() as u64);
        writer.write(bytes.into()).await?;
        writer.commit().await
    }

    /// The size of a blob, or None if the store has no such blob.
    pub(super) async fn blob_size(&self, digest: &str) -> Result<Option<u64>> {
        let request = native::InfoRequest { digest: digest.to_owned() };
        match call("content.info", self.content().info(self.request(request, None))).await {
            Ok(answer) => Ok(Some(answer.info.map_or(0, |info| info.size.cast_unsigned()))),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a blob of at most `limit` bytes; None if the store has no such blob.
    pub(super) async fn read_blob(&self, digest: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        match self.blob_size(digest).await? {
            None => return Ok(None),
            Some(size) if size > limit => {
                return Err(Error::Archive(format!("{digest} is a document of {size} bytes, more than {limit}")));
            }
            Some(_) => {}
        }
        let request = native::ReadContentRequest { digest: digest.to_owned(), offset: 0, size: 0 };
        let mut answers = call("content.read", self.content().read(self.request(request, None))).await?;
        let mut bytes = Vec::new();
        let failed = |status| Error::from_status("content.read", super::TIMEOUT, status);
        while let Some(piece) = answers.message().await.map_err(failed)? {
            bytes.extend_from_slice(&piece.data);
            if bytes.len() as u64 > limit {
                return Err(Error::Archive(format!("{digest} is a document of more than {limit} bytes")));
            }
        }
        Ok(Some(bytes))
    }

    /// Adds labels to a blob; others stay.
    pub(super) async fn label_blob(&self, digest: &str, labels: HashMap<String, String>) -> Result<()> {
        if labels.is_empty() {
            return Ok(());
        }
        let paths = labels.keys().map(|key| format!("labels.{key}")).collect();
        let info = native::Info { digest: digest.to_owned(), labels, ..Default::default() };
        let request = native::UpdateRequest { info: Some(info), update_mask: Some(FieldMask { paths }) };
        call("content.update", self.content().update(self.request(request, None))).await.map(drop)
    }
}
