"""What does a lower precision do to the scores and to the ranking?"""
