# SPDX-License-Identifier: Apache-2.0
# bash completion for vmsnap(1)

_vmsnap_commands='convert save restore info check compare map working-set flatten rebase base mount umount bench'
_vmsnap_formats='vmsnap raw qcow2 vmstate mapped-ram libvirt elf xen'

_vmsnap_writer_options() {
  local prefix='' word=$1
  if [[ $word == *,* ]]; then
    prefix=${word%,*},
    word=${word##*,}
  fi
  local words
  case $word in
    codec=*) words='codec=zstd codec=lz4 codec=store' ;;
    delta=*) words='delta=auto delta=raw delta=xor delta=dictionary' ;;
    block_size=*) words='block_size=16K block_size=64K block_size=256K block_size=1M block_size=4M' ;;
    *) words='block_size= codec= level= delta=' ;;
  esac
  # "=" ends a word for readline: only what follows the last one is to be given.
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
  if [[ $1 == *=* && $COMP_WORDBREAKS == *=* ]]; then
    local typed=${1%"${1##*=}"}
    local i
    for i in "${!COMPREPLY[@]}"; do
      COMPREPLY[i]=$prefix${COMPREPLY[i]}
      COMPREPLY[i]=${COMPREPLY[i]#"$typed"}
    done
  else
    COMPREPLY=("${COMPREPLY[@]/#/$prefix}")
  fi
  compopt -o nospace
}

# The words of a line are cut at "=": puts "-o codec=lz4" and "--output=json" together again.
_vmsnap_current() {
  local i=$COMP_CWORD word=${COMP_WORDS[COMP_CWORD]}
  while ((i > 1)) && [[ ${COMP_WORDS[i]} == '=' || ${COMP_WORDS[i - 1]} == '=' ]]; do
    ((i--))
    word=${COMP_WORDS[i]}$word
  done
  current=$word
  previous=${COMP_WORDS[i - 1]}
}

_vmsnap() {
  local current previous command=${COMP_WORDS[1]}
  COMPREPLY=()
  _vmsnap_current
  if ((COMP_CWORD == 1)); then
    mapfile -t COMPREPLY < <(compgen -W "$_vmsnap_commands help --help --version" -- "$current")
    return
  fi

  case $command:$previous in
    convert:-f) mapfile -t COMPREPLY < <(compgen -W "$_vmsnap_formats" -- "$current") && return ;;
    convert:-O) mapfile -t COMPREPLY < <(compgen -W 'vmsnap raw vmstate mapped-ram libvirt elf xen' -- "$current") && return ;;
    convert:-o | save:-o | flatten:-o | rebase:-o) _vmsnap_writer_options "$current" && return ;;
    convert:--region | map:--region) mapfile -t COMPREPLY < <(compgen -W 'all pc.ram' -- "$current") && return ;;
    convert:-l | convert:--name | compare:--region) return ;;
    *:-j) mapfile -t COMPREPLY < <(compgen -W "$(seq 1 "$(nproc)")" -- "$current") && return ;;
  esac
  if [[ $current == --output=* ]]; then
    mapfile -t COMPREPLY < <(compgen -W 'human json' -- "${current#*=}")
    return
  fi

  local options=''
  case $command in
    convert) options='-f -O -l --all -B --parent -o -j -p -q --lossless --region --machine --xml --name --state --help' ;;
    save) options='--qmp -B --parent -o -j --resume --quit -p -q --help' ;;
    restore) options='--qmp --exec --clone --base --base-dir --paused --running --parent -j -p -q --help' ;;
    info) options='--tree --parent --output= --help' ;;
    check) options='--repair --parent --output= -j -q --help' ;;
    compare) options='--region --parent -j -p -q --help' ;;
    map) options='--region --output= --help' ;;
    working-set) options='--store --remove --output= -q --help' ;;
    flatten) options='--parent -o -j -p -q --help' ;;
    base) options='--all --base-dir --parent --output= -j -p -q --help' ;;
    mount) options='-f --foreground -o --record --prefetch --parent --help' ;;
    umount) options='--lazy --help' ;;
    rebase) options='-B --parent -o -j -p -q --help' ;;
    help) mapfile -t COMPREPLY < <(compgen -W "$_vmsnap_commands" -- "$current") && return ;;
  esac
  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    [[ ${COMPREPLY[*]} == *= ]] && compopt -o nospace
  else
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  fi
}

complete -F _vmsnap vmsnap
