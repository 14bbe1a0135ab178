"""The engines that fetch media: each implements one Protocol (`base`), `routing` orders them."""
