"""People compare images by the protocol of Emu (Dai et al. 2023, arXiv 2309.15807): pages, votes, rates, agreement."""
