"""From tables to the answer: verdict, figures, gallery and page; also plan and status for the terminal."""
