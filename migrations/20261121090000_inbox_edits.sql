-- Whether a line was edited is asked for every command: by the edits of its room alone, not by all that was said there.

create index inbox_edits on inbox (room) where starts_with(key, 'edit:');
