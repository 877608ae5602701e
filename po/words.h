/* SPDX-License-Identifier: Apache-2.0 */
/* For translators alone: words that stand in data files and are shown through gettext.  Nothing includes this file, and
 * tests/check-po.py compares it with data/catalogue.json. */

N_("The whole model in its working precision, without what the official files carry twice: the same pictures from two thirds of the download.")
N_("Eight bits a weight: half the memory, hardly a visible difference.")
N_("Four bits a weight: for computers and graphics cards with little memory; fine detail suffers.")
N_("The official repository, its transformer in 32-bit floats: for comparison with other programs.")

/* The demo model's own name for itself. */
N_("Demo model")
