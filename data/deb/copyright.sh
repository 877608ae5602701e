#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Writes the copyright file of the Debian package, with the licences' own texts: copyright.sh [with-cuda]
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."

# A text as a field of this format: indented, empty lines as a point.
indented ()
{
  sed -e 's/[[:space:]]*$//' -e 's/^$/./' -e 's/^/ /' "$@"
}

# The permission of an MIT licence, without title and copyright line.
mit ()
{
  sed -n '/^Permission is hereby granted/,$p' "$1" | indented
}

cat <<EOT
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: Z-Image Studio
Source: https://example.com/zimage-studio/source
Comment: THIRD-PARTY.md beside this file names what was taken from whom, and the libraries that are used.

Files: *
Copyright: 2026 The Z-Image Studio engineers
License: Apache-2.0

Files: data/demo-model/*
Copyright: 2026 The Z-Image Studio engineers
           Microsoft Corporation (Fluent Emoji, which the model was trained on)
           2017-2019 Miles Johnson (emojibase-data, names of objects)
           1991-2025 Unicode, Inc. (CLDR, names of objects)
License: Apache-2.0 and Expat and Unicode-3.0

Files: engine/text/zie-unicode-tables.h
Copyright: 2026 The Z-Image Studio engineers
           1991-2025 Unicode, Inc.
License: Apache-2.0 and Unicode-3.0

Files: data/qwen3-tokenizer/*
Copyright: Alibaba Cloud
License: Apache-2.0

Files: engine/base/zie-noise-normal.c
Copyright: 2026 The Z-Image Studio engineers
           2007 Julien Pommier
           2012 Giovanni Garberoglio
License: Apache-2.0 and Zlib
Comment: Coefficients of the Cephes library by Stephen L. Moshier, in the order of operations of avx_mathfun.h.

Files: data/*.metainfo.xml.in
Copyright: 2026 The Z-Image Studio engineers
License: CC0-1.0
EOT
if [ "${1-}" = with-cuda ]; then
  cat <<EOT

Files: engine/backend/cuda/zie-cuda.so
Copyright: 2026 The Z-Image Studio engineers
           NVIDIA Corporation (libcudart_static and libculibos, linked into it)
License: Apache-2.0 and NVIDIA-CUDA
EOT
fi
cat <<EOT

License: Apache-2.0
 On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.

License: CC0-1.0
 On Debian systems the text is in /usr/share/common-licenses/CC0-1.0.

License: Expat
$(mit data/demo-model/LICENSE.fluentui-emoji)

License: Unicode-3.0
$(indented data/demo-model/LICENSE.unicode)

License: Zlib
$(indented data/licences/zlib-avx_mathfun.txt)
EOT
if [ "${1-}" = with-cuda ]; then
  printf '\nLicense: NVIDIA-CUDA\n'
  indented data/licences/NVIDIA-CUDA-RUNTIME.txt
fi
