# SPDX-License-Identifier: Apache-2.0
# Bash completion of zimage(1): commands, options, and the values of those whose values are known.
# tests/check-completions.py compares it with what --help of each command says.

_zimage_options ()
{
  local model='--model --transformer --text-encoder --vae --tokenizer'
  local request="$model --preset --width --height --seed --batch --steps --guidance --negative --cfg-truncation
    --cfg-normalization --shift --sampler --noise --init-image --strength --mask --lora --decode --tile-size --tile-overlap --truncate --device --dtype --threads
    --ram-budget --vram-budget"

  case $1 in
    generate) echo "$request --prompt --prompts-file --output --preview-dir --report --verbose --json" ;;
    plan) echo "$request --prompt --json" ;;
    bench) echo "$request --prompt --runs --warm-up --json" ;;
    info) echo "--transformer --text-encoder --vae --tokenizer --json" ;;
    models\ catalogue) echo "--to --json" ;;
    models\ fetch) echo "--source --endpoint --to --parallel --discard --json" ;;
    models\ repair) echo "--source --endpoint --to --parallel --json" ;;
    models\ *) echo "--json" ;;
    inspect) echo "--json --parameters" ;;
    tokenize) echo "$model --template" ;;
    devices) echo "--json" ;;
  esac
}

# The ids of what can be fetched, as the program itself lists them.
_zimage_catalogue ()
{
  "${COMP_WORDS[0]}" models catalogue --json 2>/dev/null | grep -o '"id" *: *"[^"]*"' | cut -d '"' -f 4
}

# What may follow the option $1, into COMPREPLY; fails where that is not known.
_zimage_value ()
{
  local option=$1 cur=$2 words

  case $option in
    --preset) words='square-512 square-768 square-1024 square-1536 square-2048 landscape-1280x720 portrait-720x1280' ;;
    --sampler) words='euler heun dpmpp-2m dpmpp-2m-sde res-multistep' ;;
    --noise) words='cpu cuda' ;;
    --decode) words='exact blend' ;;
    --device | -d) words='auto cuda cpu ref' ;;
    --dtype) words='auto bf16 f32' ;;
    --source) words='huggingface modelscope' ;;
    --model | -m | --transformer | --text-encoder | --vae | --tokenizer | --prompts-file | --output | -o | --report | --init-image | --mask | --lora)
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      compopt -o filenames 2>/dev/null
      return 0 ;;
    --preview-dir | --to)
      mapfile -t COMPREPLY < <(compgen -d -- "$cur")
      compopt -o filenames 2>/dev/null
      return 0 ;;
    --prompt | -p | --negative | --width | --height | --seed | -s | --batch | -n | --steps | --guidance | --tile-size | --tile-overlap | --cfg-truncation | \
    --cfg-normalization | --shift | --strength | --threads | --ram-budget | --vram-budget | --runs | -r | --warm-up | --endpoint | --parallel)
      COMPREPLY=()
      return 0 ;;
    *) return 1 ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

_zimage ()
{
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]-}
  local commands='generate plan info models inspect tokenize devices bench help'

  COMPREPLY=()
  if [ "$COMP_CWORD" = 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W "$commands --help --version" -- "$cur")
    return
  fi

  # “--option=value” comes as three words.
  if [ "$cur" = = ]; then
    cur=
  elif [ "$prev" = = ]; then
    prev=${COMP_WORDS[COMP_CWORD-2]}
  fi
  if [ "$command" = models ]; then
    case ${COMP_WORDS[2]-} in
      list | catalogue | fetch | repair) [ "$COMP_CWORD" = 2 ] || command="models ${COMP_WORDS[2]}" ;;
    esac
  fi
  if [[ $prev = -* ]] && _zimage_value "$prev" "$cur"; then
    return
  fi

  if [[ $cur = -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(_zimage_options "$command") --help" -- "$cur")
    return
  fi
  case $command in
    help) mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur") ;;
    models) mapfile -t COMPREPLY < <(compgen -W "list catalogue fetch repair" -- "$cur") ;;
    "models fetch" | "models repair") mapfile -t COMPREPLY < <(compgen -W "$(_zimage_catalogue)" -- "$cur") ;;
    info | inspect)
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      compopt -o filenames 2>/dev/null ;;
  esac
}

complete -F _zimage zimage
