# SPDX-License-Identifier: Apache-2.0
# Bash completion of zimage-studio(1).

_zimage_studio ()
{
  local cur=${COMP_WORDS[COMP_CWORD]}

  if [[ $cur = -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W '--help --version --gapplication-service' -- "$cur")
  else
    mapfile -t COMPREPLY < <(compgen -f -X '!*.[pP][nN][gG]' -- "$cur"; compgen -d -- "$cur")
    compopt -o filenames 2>/dev/null
  fi
}

complete -F _zimage_studio zimage-studio
