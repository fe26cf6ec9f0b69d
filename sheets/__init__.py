"""How the Google Sheet is drawn: the way to Google, what stands in the spreadsheet, and what is drawn where."""
