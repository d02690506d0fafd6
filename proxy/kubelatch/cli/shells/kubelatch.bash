# bash completion for kubelatch; needs bash 4.
#
# bash splits words at = and :, which --flag=value and the names of contexts hold, and leaves quotes
# in them. So the line is split again, as the shell would and with nothing of it run, and what bash
# took for earlier words is taken off the candidates. These come from files that others may have
# written, and are quoted: a context may be called $(rm -rf ~).
# shellcheck shell=bash

# Sets words, without their quotes; of the last one, quote, that which is still open, and kept, the
# part that stays when the candidate is put in. Arguments: a line, where bash splits words.
__kubelatch_split() {
    local line=$1 breaks=$2 word='' begun='' char next
    local -i at
    words=() quote='' kept=''
    for ((at = 0; at < ${#line}; at++)); do
        char=${line:at:1} next=${line:at+1:1}
        if [[ -n $quote ]]; then
            if [[ $char == "$quote" ]]; then
                quote=''
            elif [[ $quote == '"' && $char == \\ && $next == [\"\\\$\`] ]]; then
                word+=$next at+=1
            else
                word+=$char
            fi
        elif [[ $char == [[:blank:]] ]]; then
            [[ -z $begun ]] || words+=("$word")
            word='' begun='' kept=''
        else
            begun=yes
            case $char in
                \\) word+=$next at+=1 ;;
                \' | \") quote=$char kept=$word ;;
                *)
                    # $'...' and $"..." begin with a dollar that is none of the word.
                    [[ $char == \$ && $next == [\'\"] ]] || word+=$char
                    [[ $char != [=:] || $breaks != *"$char"* ]] || kept=$word
                    ;;
            esac
        fi
    done
    words+=("$word")
}

_kubelatch() {
    local tab=$'\t' quote kept current value joined='' directive item
    local -a words found
    __kubelatch_split "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS"
    current=${words[-1]}
    mapfile -t found < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
    ((${#found[@]})) || return
    directive=${found[-1]#:}
    unset 'found[-1]'
    value=$current
    [[ $current == --*=* ]] && value=${current#*=} joined=${current%%=*}=
    case $directive in
        # bash itself quotes what it takes for names of files.
        0) mapfile -t found < <(compgen -f -- "$value"); compopt -o filenames; quote=none ;;
        16) mapfile -t found < <(compgen -d -- "$value"); compopt -o filenames; quote=none ;;
    esac
    COMPREPLY=()
    for item in "${found[@]}"; do
        item=$joined${item%%"$tab"*}
        item=${item#"$kept"}
        case $quote in
            '') printf -v item %q "$item" ;;
            \') item=${item//\'/"'\''"} ;;
            \") item=${item//\\/\\\\} item=${item//\"/\\\"} item=${item//\$/\\\$}
                item=${item//\`/\\\`} item=${item//!/'"\!"'} ;;
        esac
        COMPREPLY+=("$item")
    done
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}
complete -F _kubelatch kubelatch
