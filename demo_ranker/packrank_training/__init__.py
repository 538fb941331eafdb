"""Train the demo ranker: packaged texts -> questions with candidates -> adapters and a score head."""
