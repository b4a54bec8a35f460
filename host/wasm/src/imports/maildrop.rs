//! `restante:plugin/maildrop`: what filters and selectors may look at.

use wasmtime::component::Resource;

use crate::bindings::restante::plugin::maildrop::{Host, HostMessage, HostView};
use crate::bindings::restante::plugin::types::Failure;
use crate::instance::lent::{MessageEntry, ViewEntry};
use crate::instance::state::State;
use crate::record::tape::Exchange;

/// Octets that one `read` hands over at most.
const READ: u32 = 1 << 20;

impl Host for State {}

impl State {
    /// Books what is handed over.
    fn book(&self, octets: &Result<Vec<u8>, restante_roles::backend::Failure>) {
        if let Ok(octets) = octets {
            self.limits.carried(octets.len());
        }
    }
}

impl HostMessage for State {
    async fn unique_id(&mut self, message: Resource<MessageEntry>) -> wasmtime::Result<String> {
        Ok(self.table.get(&message)?.0.unique_id().to_owned())
    }

    async fn octets(&mut self, message: Resource<MessageEntry>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&message)?.0.octets())
    }

    async fn received(&mut self, message: Resource<MessageEntry>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&message)?.0.received())
    }

    async fn header(
        &mut self,
        message: Resource<MessageEntry>,
    ) -> wasmtime::Result<Result<Vec<u8>, Failure>> {
        let message = self.table.get(&message)?.0.clone();
        let header = message.header().await;
        self.book(&header);
        let answer = header.map_err(Into::into);
        self.hear(self.copied(&()), |()| Exchange::Header {
            answer: answer.clone(),
        });
        Ok(answer)
    }

    async fn read(
        &mut self,
        message: Resource<MessageEntry>,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Failure>> {
        let message = self.table.get(&message)?.0.clone();
        let octets = message.read(offset, length.min(READ)).await;
        self.book(&octets);
        let answer = octets.map_err(Into::into);
        self.hear(self.copied(&()), |()| Exchange::ReadMessage {
            offset,
            length,
            answer: answer.clone(),
        });
        Ok(answer)
    }

    async fn drop(&mut self, message: Resource<MessageEntry>) -> wasmtime::Result<()> {
        self.table.delete(message)?;
        Ok(())
    }
}

impl HostView for State {
    async fn count(&mut self, view: Resource<ViewEntry>) -> wasmtime::Result<u32> {
        let count = self.table.get(&view)?.0.listing.len();
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    async fn unique_ids(
        &mut self,
        view: Resource<ViewEntry>,
        start: u32,
        length: u32,
    ) -> wasmtime::Result<Vec<String>> {
        let view = self.table.get(&view)?;
        Ok(view
            .range(start, length)
            .map(|position| view.0.listing.unique_id(position).to_owned())
            .collect())
    }

    async fn octets(
        &mut self,
        view: Resource<ViewEntry>,
        start: u32,
        length: u32,
    ) -> wasmtime::Result<Vec<u64>> {
        let view = self.table.get(&view)?;
        Ok(view
            .range(start, length)
            .map(|position| view.0.listing.octets(position))
            .collect())
    }

    async fn received(
        &mut self,
        view: Resource<ViewEntry>,
        start: u32,
        length: u32,
    ) -> wasmtime::Result<Vec<u64>> {
        let view = self.table.get(&view)?;
        Ok(view.0.received[view.range(start, length)].to_vec())
    }

    async fn drop(&mut self, view: Resource<ViewEntry>) -> wasmtime::Result<()> {
        self.table.delete(view)?;
        Ok(())
    }
}
