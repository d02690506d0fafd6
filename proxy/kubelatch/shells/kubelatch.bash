# bash completion for kubelatch; needs bash 4.
#
# bash splits words at = and :, which --flag=value and the names of contexts hold. So the line is
# split again at blanks, and what bash took for earlier words is taken off the candidates.
# shellcheck shell=bash
_kubelatch() {
    local line=${COMP_LINE:0:COMP_POINT} tab=$'\t' current value joined skip directive item
    local -a words found
    read -ra words <<<"$line"
    [[ $line == *[[:blank:]] ]] && words+=("")
    current=${words[-1]}
    mapfile -t found < <("${COMP_WORDS[0]}" __complete "${words[@]:1}" 2>/dev/null)
    ((${#found[@]})) || return
    directive=${found[-1]#:}
    unset 'found[-1]'
    value=$current joined=
    [[ $current == --*=* ]] && value=${current#*=} joined=${current%%=*}=
    case $directive in
        0) mapfile -t found < <(compgen -f -- "$value"); compopt -o filenames ;;
        16) mapfile -t found < <(compgen -d -- "$value"); compopt -o filenames ;;
    esac
    [[ $COMP_WORDBREAKS == *=* ]] && skip='=' || skip=
    [[ $COMP_WORDBREAKS == *:* ]] && skip+=':'
    [[ -n $skip ]] && skip=${current%"${current##*["$skip"]}"}
    COMPREPLY=()
    for item in "${found[@]}"; do
        item=$joined${item%%"$tab"*}
        COMPREPLY+=("${item#"$skip"}")
    done
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}
complete -F _kubelatch kubelatch
