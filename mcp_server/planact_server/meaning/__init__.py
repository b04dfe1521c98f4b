"""Finding tools by meaning: an embedding model beside the search by words, where the user has one running."""
