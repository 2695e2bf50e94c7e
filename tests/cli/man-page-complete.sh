#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# vmsnap(1), the completion and --help know the same commands and options.
source "$(dirname "$0")/lib.sh"
requires python3

plain=$(sed 's/\\-/-/g; s/^\.[A-Z]* //' "$source_dir/docs/vmsnap.1")
completion=$(<"$source_dir/tools/completion/vmsnap.bash")
listed=$(vmsnap help | sed -n '/^Subcommands:/,/^$/p' | awk 'NF > 1 { print $1 }' | grep -v '^help$' | tr '\n' ' ')
[[ $listed == *'convert '*'compare '* ]] || fail "no commands in the help: $listed"
grep -qF "_vmsnap_commands='${listed% }'" <<<"$completion" || fail "the completion does not know '$listed'"
for command in $listed; do
  grep -qE "^(\.SS )?\"?vmsnap $command " <<<"$plain" || fail "vmsnap(1) does not tell of $command"
  grep -qE "(^|[^-a-z])vmsnap $command( |\$)" "$source_dir/README.md" || fail "README.md does not show $command"
  [[ $command != bench ]] || continue # its options are another program's
  expect 0 vmsnap help $command
  options=$(grep -oE '^ +-[-a-zA-Z,]+' out | tr ',' '\n' | tr -d ' ' | grep -vE '^(-h|--help)$')
  [[ -n $options ]] || fail "$command: no options in the help"
  for option in $options; do
    [[ $plain == *"$option"* ]] || fail "vmsnap(1) does not know $command $option"
    grep -qE "^ +$command\) options=.*[ ']${option}[= ']" <<<"$completion" || fail "the completion does not know $command $option"
  done
done
if command -v man >/dev/null; then
  MANWIDTH=100 man --warnings -l "$source_dir/docs/vmsnap.1" >page 2>err
  [[ ! -s err ]] || fail "$(cat err)"
fi

# The words that bash would offer; it cuts a line at "=" as well.
compopt() { :; }
# shellcheck source=/dev/null
source "$source_dir/tools/completion/vmsnap.bash"
offers() {
  COMP_WORDS=("${@:2}")
  COMP_CWORD=$(($# - 2))
  _vmsnap
  [[ ${COMPREPLY[*]} == "$1" ]] || fail "'${*:2}' is completed to '${COMPREPLY[*]}', not '$1'"
}
offers 'convert compare' vmsnap co
offers 'flatten' vmsnap f
offers 'xor' vmsnap rebase -o delta = x
offers 'vmsnap vmstate' vmsnap convert -O vm
offers 'zstd lz4 store' vmsnap convert -o codec =
offers '64K,codec=' vmsnap convert -o block_size = 64K,co
offers 'json' vmsnap info --output = j
touch some.vmsnap
offers 'some.vmsnap' vmsnap check so
