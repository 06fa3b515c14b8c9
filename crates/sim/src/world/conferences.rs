//! The mixers of conferences, which tick every 20 ms of virtual time while there is a conference.

use trunkgate_call::Input;
use trunkgate_media::conference::NodeCommand;
use trunkgate_media::conference::limits::FRAME;

use super::{Happening, World};

impl World {
    /// Gives the mixers a command; with the first party their ticks begin.
    pub(super) fn mixer_told(&mut self, command: NodeCommand) {
        self.log.line(self.now, format_args!("mixer   {}", name_of(&command)));
        self.edge.node.handle_input(command);
        if !self.edge.is_mixing && self.edge.node.conferences() > 0 {
            self.edge.is_mixing = true;
            self.at(self.now + FRAME, Happening::Mix);
        }
    }

    /// Mixes 20 ms.
    pub(super) fn mix(&mut self) {
        self.edge.node.tick();
        while let Some(event) = self.edge.node.poll_output() {
            self.edge.gateway.handle_input(self.now, Input::Conference(event));
            self.drain_gateway();
        }
        self.edge.is_mixing = self.edge.node.conferences() > 0;
        if self.edge.is_mixing {
            self.at(self.now + FRAME, Happening::Mix);
        }
    }
}

fn name_of(command: &NodeCommand) -> String {
    match command {
        NodeCommand::Seat { conference, seat, .. } => format!("Seat {conference:?} {seat:?}"),
        NodeCommand::Part { seat, part } => format!("Part {seat:?} {part:?}"),
        NodeCommand::Leave { seat } => format!("Leave {seat:?}"),
        NodeCommand::Play { conference, clip, .. } => format!("Play {conference:?} {clip:?}"),
        NodeCommand::Stop { clip } => format!("Stop {clip:?}"),
    }
}
