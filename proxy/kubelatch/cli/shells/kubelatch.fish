# fish completion for kubelatch

function __kubelatch_complete
    set -l tokens (commandline --tokenize --cut-at-cursor --current-process)
    set -l current (commandline --current-token --cut-at-cursor)
    set -l found ($tokens[1] __complete $tokens[2..-1] "$current" 2>/dev/null)
    # fish completes whole tokens: the flag stays before its value.
    set -l joined (string match --regex -- '^--[^=]+=' "$current")
    set -l value (string replace -- "$joined" '' "$current")
    switch "$found[-1]"
        case ':0'
            set found (__fish_complete_path "$value")
        case ':16'
            set found (__fish_complete_directories "$value")
        case '*'
            set -e found[-1]
    end
    for item in $found
        echo "$joined$item"
    end
end

complete --command kubelatch --no-files --arguments '(__kubelatch_complete)'
