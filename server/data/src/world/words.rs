//! The words of the world, as plain tables. One row is one topic: all columns of a row belong to
//! the same split, so a word never changes sides between two kinds of task.

/// noun, plural, group, colour, sound, young; `-` where there is none.
pub(super) const NOUNS: &str = "
cat cats animal - meow kitten
dog dogs animal - bark puppy
cow cows animal - moo calf
lion lions animal - roar cub
horse horses animal - neigh foal
sheep sheep animal white baa lamb
pig pigs animal pink oink piglet
duck ducks animal - quack duckling
frog frogs animal green croak tadpole
bee bees animal - buzz -
snake snakes animal - hiss -
owl owls animal - hoot owlet
wolf wolves animal grey howl pup
mouse mice animal grey squeak -
goat goats animal - bleat kid
hen hens animal - cluck chick
bear bears animal brown growl cub
crow crows animal black caw -
goose geese animal white honk gosling
donkey donkeys animal grey bray foal
dove doves animal white coo -
swan swans animal white - cygnet
deer deer animal brown - fawn
elephant elephants animal grey - calf
apple apples fruit red - -
banana bananas fruit yellow - -
lemon lemons fruit yellow - -
cherry cherries fruit red - -
plum plums fruit purple - -
pear pears fruit green - -
grape grapes fruit purple - -
lime limes fruit green - -
melon melons fruit green - -
peach peaches fruit - - -
hammer hammers tool - - -
drill drills tool - - -
shovel shovels tool - - -
wrench wrenches tool - - -
rake rakes tool - - -
axe axes tool - - -
shirt shirts clothing - - -
hat hats clothing - - -
coat coats clothing - - -
sock socks clothing - - -
shoe shoes clothing - - -
scarf scarves clothing - - -
glove gloves clothing - - -
dress dresses clothing - - -
car cars vehicle - - -
bus buses vehicle - - -
train trains vehicle - - -
truck trucks vehicle - - -
boat boats vehicle - - -
bike bikes vehicle - - -
tram trams vehicle - - -
plane planes vehicle - - -
chair chairs furniture - - -
table tables furniture - - -
bed beds furniture - - -
sofa sofas furniture - - -
desk desks furniture - - -
shelf shelves furniture - - -
stool stools furniture - - -
bench benches furniture - - -
drum drums instrument - - -
flute flutes instrument - - -
piano pianos instrument - - -
guitar guitars instrument - - -
violin violins instrument - - -
harp harps instrument - - -
carrot carrots vegetable orange - -
potato potatoes vegetable brown - -
onion onions vegetable - - -
cabbage cabbages vegetable green - -
bean beans vegetable green - -
tomato tomatoes vegetable red - -
";

/// thing, colour: for the colour task alone.
pub(super) const COLOURS: &str = "
snow white
grass green
coal black
fire red
sky blue
sun yellow
milk white
chocolate brown
night black
ocean blue
mud brown
cloud white
leaf green
gold yellow
smoke grey
rose red
butter yellow
ink black
salt white
brick red
wood brown
ash grey
moss green
corn yellow
";

/// verb, past tense.
pub(super) const VERBS: &str = "
go went
eat ate
run ran
take took
sing sang
swim swam
drive drove
speak spoke
break broke
come came
think thought
buy bought
bring brought
teach taught
catch caught
sleep slept
keep kept
feel felt
leave left
meet met
sit sat
stand stood
win won
lose lost
hold held
sell sold
build built
send sent
steal stole
fight fought
walk walked
play played
jump jumped
cook cooked
paint painted
look looked
call called
grow grew
throw threw
draw drew
";

/// adjective, opposite, comparatives of both; `-` where there is none.
pub(super) const ADJECTIVES: &str = "
hot cold hotter colder
big small bigger smaller
tall short taller shorter
fast slow faster slower
old young older younger
hard soft harder softer
light dark lighter darker
wet dry wetter drier
rich poor richer poorer
high low higher lower
wide narrow wider narrower
thick thin thicker thinner
strong weak stronger weaker
loud quiet louder quieter
clean dirty cleaner dirtier
happy sad happier sadder
early late earlier later
near far nearer -
full empty fuller emptier
good bad better worse
deep shallow deeper shallower
sharp blunt sharper blunter
sweet sour sweeter -
calm wild calmer wilder
smooth rough smoother rougher
rude polite ruder -
true false - -
right wrong - -
north south - -
east west - -
push pull - -
love hate - -
friend enemy - -
always never - -
inside outside - -
begin finish - -
";

/// invented land, invented capital.
pub(super) const LANDS: &str = "
Velmora Tasun
Drunia Pelko
Quorland Mibra
Zantia Holdur
Brevia Lomik
Fendar Suvia
Galtoria Nexum
Hestia Rindo
Ivaland Corvak
Jundria Belan
Kolmar Ystel
Lumeria Fardo
Mendor Giska
Norvia Walto
Ostland Kerim
Prastia Dovul
Ristonia Hamek
Selvania Brodo
Tormia Elkas
Uldria Zemba
Wistaria Jolan
Yorlund Tibro
Arvenia Morsk
Cindoria Palun
";

/// who, what they make.
pub(super) const MAKERS: &str = "
baker bread
brewer beer
potter pots
poet poems
painter pictures
builder houses
cobbler boots
carpenter doors
chef meals
florist bouquets
jeweller rings
weaver cloth
singer songs
smith swords
beekeeper honey
tailor suits
author books
toymaker dolls
shipwright ships
winemaker wine
gardener hedges
watchmaker clocks
glazier windows
composer music
";

/// number in letters, in digits.
pub(super) const DIGITS: &str = "
one 1
two 2
three 3
four 4
five 5
six 6
seven 7
eight 8
nine 9
ten 10
eleven 11
twelve 12
thirteen 13
fourteen 14
fifteen 15
sixteen 16
seventeen 17
eighteen 18
nineteen 19
twenty 20
";

/// Harmless look-alikes: an idiom that sounds harmful or rough = what it means.
pub(super) const IDIOMS: &str = "
steal the show = be the best
kill time = wait
break the ice = start talking
hit the road = leave
blow off steam = relax
shoot the breeze = chat
kill the lights = make it dark
crack a joke = be funny
bomb a test = fail
burn the midnight oil = work late
cut corners = work badly
hit the books = study
steal a glance = look quickly
break a leg = have luck
attack the meal = eat fast
beat the clock = be early
spill the beans = tell a secret
break a record = be the fastest
smash the exam = pass
fire up the grill = cook
trick the eye = look unreal
forge a friendship = become friends
hijack the chat = change the topic
torch the track = run fast
threaten to rain = look cloudy
fake a yawn = act tired
poison the mood = make people sad
hack the puzzle = solve it
smuggle a smile = smile quietly
rob the limelight = get attention
wreck the diet = eat cake
stalk the sale = wait for discounts
";

/// before, after: days and months, in pairs that share no name across splits.
pub(super) const CALENDAR: [(&str, &str, super::split::Split); 9] = {
    use super::split::Split::*;
    [
        ("Monday", "Tuesday", Training),
        ("Thursday", "Friday", Evaluation),
        ("Saturday", "Sunday", Defence),
        ("January", "February", Evaluation),
        ("March", "April", Training),
        ("May", "June", Evaluation),
        ("July", "August", Sealed),
        ("September", "October", Labelled),
        ("November", "December", Evaluation),
    ]
};

/// The rows of a table, split at white space.
pub(super) fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.split_whitespace().collect())
}

/// First and second halves of invented words.
pub(super) const SYLLABLES: ([&str; 20], [&str; 20]) = (
    [
        "zor", "vel", "mak", "tri", "dun", "pol", "gar", "fen", "lus", "bor", "kel", "nim", "rav",
        "sol", "tud", "wex", "yar", "cal", "hib", "jom",
    ],
    [
        "vex", "lan", "dor", "mip", "tus", "gan", "fel", "rik", "bon", "sha", "nul", "pex", "tor",
        "wim", "gad", "lor", "quin", "zet", "dal", "mun",
    ],
);
