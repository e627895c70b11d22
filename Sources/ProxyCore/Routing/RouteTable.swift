// Which route? Placeholder until the room is furnished.
