"""The demo ranker's training recipe: packaged texts -> questions with candidates -> adapters and a score head."""
