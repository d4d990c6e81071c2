"""The papers that a methods paragraph cites, as BibTeX, by how the text cites them. Metrics bring their own."""

CITATIONS = {
    "Lin et al., 2014": """@inproceedings{lin2014coco,
  author    = {Lin, Tsung-Yi and Maire, Michael and Belongie, Serge and Hays, James and Perona, Pietro and Ramanan, Deva
               and Doll{\\'a}r, Piotr and Zitnick, C. Lawrence},
  title     = {Microsoft {COCO}: Common Objects in Context},
  booktitle = {European Conference on Computer Vision (ECCV)},
  year      = {2014},
  eprint    = {1405.0312},
  archivePrefix = {arXiv}
}""",
    "Wang et al., 2024": """@article{wang2024emu3,
  author  = {Wang, Xinlong and others},
  title   = {{Emu3}: Next-Token Prediction is All You Need},
  journal = {arXiv preprint arXiv:2409.18869},
  year    = {2024}
}""",
    "Wortsman et al., 2022": """@inproceedings{wortsman2022robust,
  author    = {Wortsman, Mitchell and others},
  title     = {Robust fine-tuning of zero-shot models},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2022},
  eprint    = {2109.01903},
  archivePrefix = {arXiv}
}""",
    "Ho and Salimans, 2022": """@article{ho2022guidance,
  author  = {Ho, Jonathan and Salimans, Tim},
  title   = {Classifier-Free Diffusion Guidance},
  journal = {arXiv preprint arXiv:2207.12598},
  year    = {2022}
}""",
    "Heusel et al., 2017": """@inproceedings{heusel2017gans,
  author    = {Heusel, Martin and Ramsauer, Hubert and Unterthiner, Thomas and Nessler, Bernhard and Hochreiter, Sepp},
  title     = {{GANs} Trained by a Two Time-Scale Update Rule Converge to a Local {Nash} Equilibrium},
  booktitle = {Advances in Neural Information Processing Systems (NeurIPS)},
  year      = {2017},
  eprint    = {1706.08500},
  archivePrefix = {arXiv}
}""",
    "Parmar et al., 2022": """@inproceedings{parmar2022aliased,
  author    = {Parmar, Gaurav and Zhang, Richard and Zhu, Jun-Yan},
  title     = {On Aliased Resizing and Surprising Subtleties in {GAN} Evaluation},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2022},
  eprint    = {2104.11222},
  archivePrefix = {arXiv}
}""",
    "Stein et al., 2023": """@inproceedings{stein2023exposing,
  author    = {Stein, George and others},
  title     = {Exposing flaws of generative model evaluation metrics and their unfair treatment of diffusion models},
  booktitle = {Advances in Neural Information Processing Systems (NeurIPS)},
  year      = {2023},
  eprint    = {2306.04675},
  archivePrefix = {arXiv}
}""",
    "Busing et al., 1999": """@article{busing1999jackknife,
  author  = {Busing, Frank M. T. A. and Meijer, Erik and van der Leeden, Rien},
  title   = {Delete-$m$ Jackknife for Unequal $m$},
  journal = {Statistics and Computing},
  volume  = {9},
  number  = {1},
  pages   = {3--8},
  year    = {1999}
}""",
    "Schuirmann, 1987": """@article{schuirmann1987comparison,
  author  = {Schuirmann, Donald J.},
  title   = {A Comparison of the Two One-Sided Tests Procedure and the Power Approach for Assessing the Equivalence of Average
             Bioavailability},
  journal = {Journal of Pharmacokinetics and Biopharmaceutics},
  volume  = {15},
  number  = {6},
  pages   = {657--680},
  year    = {1987}
}""",
    "Chong and Forsyth, 2020": """@inproceedings{chong2020effectively,
  author    = {Chong, Min Jin and Forsyth, David},
  title     = {Effectively Unbiased {FID} and {Inception} Score and Where to Find Them},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2020},
  eprint    = {1911.07023},
  archivePrefix = {arXiv}
}""",
}
