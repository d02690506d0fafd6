#compdef kubelatch
# Candidates come from files that others may have written; compadd quotes what it puts in.
_kubelatch() {
    local directive item
    local -a found names spaced line
    # Without the quotes of the line; the one that is still open is closed for that.
    line=("${(@)words[1,CURRENT-1]}" "${words[CURRENT]}${compstate[quote]}")
    line=("${(@Q)line}")
    found=("${(@f)$("${line[1]}" __complete "${(@)line[2,-1]}" 2>/dev/null)}")
    directive=${found[-1]#:}
    found[-1]=()
    [[ $PREFIX == --*=* ]] && compset -P 1 '*='
    case $directive in
        0) _files; return ;;
        16) _files -/; return ;;
    esac
    for item in $found; do
        # _describe splits at colons, which context names hold, and takes off backslashes.
        item=${item//\\/\\\\}
        item=${item//:/\\:}
        if [[ ${item%%$'\t'*} == *= ]]; then
            spaced+=("${item/$'\t'/:}")
        else
            names+=("${item/$'\t'/:}")
        fi
    done
    _describe -t flags flag spaced -S ''
    _describe -t values value names
}
if [[ $funcstack[1] == _kubelatch ]]; then
    _kubelatch "$@"
else
    compdef _kubelatch kubelatch
fi
